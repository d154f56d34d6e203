-- A therapist proposes a session. It waits as pending_approval, and costs nothing until the client
-- approves it.
--
-- Caller: an active therapist, as the token's subject; the server for the therapist it names.
-- Changes: inserts one session. Locks: its idempotency key. For a scheduled proposal also the calendars
-- of both people, whose time it holds (the trigger session_approval_slot).
-- A scheduled proposal gives its start in one of two ways: as p_start_time, in ISO 8601 with an offset;
-- or as a local time, in p_session_date, p_session_time and p_time_zone (default: the installation's
-- time zone). An instant proposal needs no time, because it starts when the client approves it.
-- A person who repeats the same proposal under the same p_request_key gets the same session.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR, 409 TIME_SLOT_CONFLICT (details: refuse_if_taken),
-- 422 IDEMPOTENCY_CONFLICT (same key, other content), 422 NONEXISTENT_LOCAL_TIME.

create or replace function session_approval.create_custom_session(
  p_patient_id uuid,
  p_start_time text,
  p_session_date date,
  p_session_time time,
  p_time_zone text,
  p_duration_minutes integer,
  p_session_type text,
  p_title text,
  p_notes text,
  p_is_instant boolean,
  p_request_key text,
  p_user_id uuid
)
returns setof public.session_answer
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(p_user_id);
  v_is_instant constant boolean := coalesce(p_is_instant, false);
  v_session_type constant text := btrim(p_session_type);
  v_title constant text := coalesce(
    nullif(btrim(p_title), ''),
    case when v_is_instant then 'Instant session' else 'Custom session' end);
  v_time_zone constant text := coalesce(
    p_time_zone, (select settings.default_time_zone from session_approval.settings settings));
  v_start_time constant timestamptz := session_approval.parse_instant(p_start_time);
  v_duration_minutes constant integer := coalesce(
    p_duration_minutes, (select settings.default_duration from session_approval.settings settings));
  v_problems jsonb;
  v_start record;
  v_session_id uuid;
  v_answer public.session_answer;
begin
  if not session_approval.is_therapist(v_caller.user_type::text) then
    perform session_approval.refuse(
      403, 'AUTHORIZATION_ERROR', 'Only a therapist can propose a session');
  end if;

  v_problems := session_approval.check_proposal(
    v_caller.id, p_patient_id, v_start_time, p_session_date, p_session_time, p_time_zone,
    v_duration_minutes, v_session_type, v_title, p_notes, v_is_instant, p_request_key);
  if v_start_time is null and p_start_time is not null and not v_is_instant then
    v_problems := v_problems || jsonb_build_object(
      'start_time', 'must be in ISO 8601 with an offset, such as 2030-01-31T10:00:00+01:00');
  end if;
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The proposal is not valid', v_problems);
  end if;

  v_start := session_approval.proposed_start(
    v_is_instant, v_start_time, case when not v_is_instant then p_session_date + p_session_time end,
    v_time_zone);

  -- A retry that arrives after the start still finds its session.
  if not v_is_instant
    and v_start.start_time <= now()
    and not exists (
      select
      from public.sessions s
      where s.created_by = v_caller.id
        and s.request_key = p_request_key
    )
  then
    perform session_approval.refuse(
      400, 'VALIDATION_ERROR', 'The proposal is not valid',
      jsonb_build_object(
        case when v_start_time is null then 'session_time' else 'start_time' end,
        'must be in the future'));
  end if;

  v_session_id := session_approval.insert_or_find_proposal(
    v_caller.id, p_patient_id, v_start.start_time, v_duration_minutes, v_time_zone, v_session_type,
    v_title, p_notes, v_is_instant, p_request_key);

  select a.* into v_answer from session_approval.session_answers a where a.id = v_session_id;

  v_answer.beside := v_answer.beside || jsonb_build_object(
    'message', 'Session proposed. Waiting for the client''s approval.' || case
      when v_start.occurs_twice then ' That time occurs twice on that day; the first one was taken.'
      else ''
    end);

  return next v_answer;
end
$$;

create or replace function public.create_custom_session(
  p_patient_id uuid,
  p_start_time text default null,
  p_session_date date default null,
  p_session_time time default null,
  p_time_zone text default null,
  p_duration_minutes integer default null,
  p_session_type text default 'video',
  p_title text default null,
  p_notes text default null,
  p_is_instant boolean default false,
  p_request_key text default null,
  p_user_id uuid default auth.uid()
)
returns setof public.session_answer
language sql
volatile
security invoker
set search_path = ''
as $$
  select *
  from session_approval.create_custom_session(
    p_patient_id, p_start_time, p_session_date, p_session_time, p_time_zone, p_duration_minutes,
    p_session_type, p_title, p_notes, p_is_instant, p_request_key, p_user_id)
$$;

comment on function public.create_custom_session(
  uuid, text, date, time, text, integer, text, text, text, boolean, text, uuid
) is
  'Propose a session to a client, as the signed-in therapist: scheduled (p_start_time, or p_session_date, '
  'p_session_time and p_time_zone) or instant. Returns the session. Refuses with 400, 401, 403, 409, 422.';
comment on function session_approval.create_custom_session(
  uuid, text, date, time, text, integer, text, text, text, boolean, text, uuid
) is 'The implementation of public.create_custom_session.';

revoke all on function public.create_custom_session(
  uuid, text, date, time, text, integer, text, text, text, boolean, text, uuid
) from public, anon, authenticated, service_role;
revoke all on function session_approval.create_custom_session(
  uuid, text, date, time, text, integer, text, text, text, boolean, text, uuid
) from public, anon, authenticated, service_role;
grant execute on function public.create_custom_session(
  uuid, text, date, time, text, integer, text, text, text, boolean, text, uuid
) to authenticated, service_role;
grant execute on function session_approval.create_custom_session(
  uuid, text, date, time, text, integer, text, text, text, boolean, text, uuid
) to authenticated, service_role;
