-- The caller's sessions, as client or therapist, latest start first. With p_upcoming, only the sessions
-- that are not over and not called off, soonest first.
--
-- Caller: any active person, as the token's subject. p_before is the id of the last session of the
-- previous page. It is not a moment, because a page would then lose sessions that start at the same
-- moment. beside says whether there are more (has_more).
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR.

create or replace function session_approval.list_sessions(
  p_status text[],
  p_upcoming boolean,
  p_limit integer,
  p_before uuid
)
returns setof public.session_answer
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_known constant text[] := array[
    'pending_approval', 'scheduled', 'confirmed', 'in_progress', 'completed', 'no_show', 'cancelled'
  ];
  v_upcoming boolean := coalesce(p_upcoming, false);
  v_before timestamptz;
  v_problems jsonb;
begin
  select d.start_time
  into v_before
  from session_approval.session_details d
  where d.id = p_before
    and v_caller.id in (d.user_id, d.therapist_id);

  v_problems := jsonb_strip_nulls(jsonb_build_object(
    'status', case
      when not p_status <@ v_known then 'must be among ' || array_to_string(v_known, ', ')
    end,
    'limit', case
      when (p_limit between 1 and 100) is not true then 'must be a whole number from 1 to 100'
    end,
    'before', case
      when p_before is not null and not found then 'must be the id of one of your sessions'
    end
  ));
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The filter is not valid', v_problems);
  end if;

  return query
  with page as materialized (
    select d.*
    from session_approval.session_details d
    where (d.user_id = v_caller.id or d.therapist_id = v_caller.id)
      and (p_status is null or d.status = any (p_status))
      and (
        not v_upcoming
        or d.status = 'pending_approval'
        or (d.status in ('scheduled', 'confirmed', 'in_progress') and d.end_time > now())
      )
      and (
        p_before is null
        or case
          when v_upcoming then (d.start_time, d.id) > (v_before, p_before)
          else (d.start_time, d.id) < (v_before, p_before)
        end
      )
    order by
      case when v_upcoming then d.start_time end,
      case when v_upcoming then d.id end,
      d.start_time desc,
      d.id desc
    limit p_limit + 1
  )
  select page.*, jsonb_build_object('has_more', (select count(*) > p_limit from page))
  from page
  order by
    case when v_upcoming then page.start_time end,
    case when v_upcoming then page.id end,
    page.start_time desc,
    page.id desc
  limit p_limit;
end
$$;

create or replace function public.list_sessions(
  p_status text[] default null,
  p_upcoming boolean default false,
  p_limit integer default 50,
  p_before uuid default null
)
returns setof public.session_answer
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.list_sessions(p_status, p_upcoming, p_limit, p_before) $$;

comment on function public.list_sessions(text[], boolean, integer, uuid) is
  'Your sessions, as client or therapist, a page at a time; p_before is the last id of the previous '
  'page. Refuses with 400, 401, 403.';
comment on function session_approval.list_sessions(text[], boolean, integer, uuid) is
  'The implementation of public.list_sessions.';

revoke all on function public.list_sessions(text[], boolean, integer, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.list_sessions(text[], boolean, integer, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.list_sessions(text[], boolean, integer, uuid)
  to authenticated, service_role;
grant execute on function session_approval.list_sessions(text[], boolean, integer, uuid)
  to authenticated, service_role;
