-- The router: a database without a row, whose doors send each call to the shard that has the client.
--
-- A call commits on its shard, apart from any transaction here: on one shard it is all or nothing, as ever.
-- psql -v shard_0=... -v shard_1=...: how to reach the shards. PostgREST answers with the same JSON as
-- before the product's own doors.

create extension plproxy;
create schema shards;

create server clients foreign data wrapper plproxy options (p0 :'shard_0', p1 :'shard_1');
create user mapping for public server clients options (user 'authenticator');
grant usage on foreign server clients to authenticated;

-- To the shard of one client.
create function shards.of_client(
  p_client_id uuid, p_claims text, p_function text, p_arguments jsonb
)
returns setof jsonb
language plproxy
as $$
  cluster 'clients';
  run on hashtext(p_client_id::text);
  select * from shards.answer(p_claims, p_function, p_arguments);
$$;

-- To all of them at once; their answers one after another.
create function shards.of_all(p_claims text, p_function text, p_arguments jsonb)
returns setof jsonb
language plproxy
as $$
  cluster 'clients';
  run on all;
  select * from shards.answer(p_claims, p_function, p_arguments);
$$;

-- A refusal comes from a shard with words before it, which are taken away: callers read the product's own.
create function shards.ask(p_client_id uuid, p_function text, p_arguments jsonb)
returns setof jsonb
language plpgsql
as $$
declare
  v_claims constant text := current_setting('request.jwt.claims', true);
  v_state text;
  v_message text;
  v_detail text;
  v_hint text;
begin
  if p_client_id is null then
    return query select * from shards.of_all(v_claims, p_function, p_arguments);
  else
    return query select * from shards.of_client(p_client_id, v_claims, p_function, p_arguments);
  end if;
exception
  when others then
    get stacked diagnostics
      v_state = returned_sqlstate, v_message = message_text,
      v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    raise exception using
      errcode = v_state,
      message = regexp_replace(v_message, '^.* REMOTE ERROR: ', ''),
      detail = regexp_replace(v_detail, '^Remote detail: ', ''),
      hint = regexp_replace(v_hint, '^Remote hint: ', '');
end
$$;

-- Who acts is the client: his own shard has all of it.
create function public.approve_session_and_deduct_credit(p_session_id uuid, p_user_id uuid default auth.uid())
returns setof jsonb
language sql
as $$
  select * from shards.ask(
    p_user_id, 'approve_session_and_deduct_credit',
    jsonb_build_object('p_session_id', p_session_id, 'p_user_id', p_user_id))
$$;

create function public.decline_session(p_session_id uuid, p_reason text default null)
returns setof jsonb
language sql
as $$
  select * from shards.ask(
    auth.uid(), 'decline_session', jsonb_build_object('p_session_id', p_session_id, 'p_reason', p_reason))
$$;

create function public.list_pending_sessions()
returns setof jsonb
language sql
as $$ select * from shards.ask(auth.uid(), 'list_pending_sessions', '{}') $$;

create function public.get_credits()
returns setof jsonb
language sql
as $$ select * from shards.ask(auth.uid(), 'get_credits', '{}') $$;

-- Who acts is the therapist, and the client is named: the session goes to the client's shard. The calendar
-- that is asked there is that shard's alone.
create function public.create_custom_session(p_patient_id uuid, p_start_time timestamptz)
returns setof jsonb
language sql
as $$
  select * from shards.ask(
    p_patient_id, 'create_custom_session',
    jsonb_build_object('p_patient_id', p_patient_id, 'p_start_time', p_start_time))
$$;

-- A therapist's day lies on every shard.
create function public.check_availability(p_start_time timestamptz, p_duration_minutes integer default 30)
returns setof jsonb
language sql
as $$
  select jsonb_build_object(
    'available', bool_and((a ->> 'available')::boolean),
    'conflicting_sessions', jsonb_path_query_array(jsonb_agg(a), '$[*].conflicting_sessions[*]'))
  from shards.ask(
    null, 'check_availability',
    jsonb_build_object('p_start_time', p_start_time, 'p_duration_minutes', p_duration_minutes)) a
$$;

-- The soonest hundred of all shards are among the soonest hundred of each.
create function public.list_sessions(p_upcoming boolean, p_limit integer default 100)
returns setof jsonb
language sql
as $$
  select s
  from shards.ask(
    null, 'list_sessions', jsonb_build_object('p_upcoming', p_upcoming, 'p_limit', p_limit)) s
  order by (s ->> 'start_time')::timestamptz, s ->> 'id'
  limit p_limit
$$;

grant usage on schema shards to authenticated;
