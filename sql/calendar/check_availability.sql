-- Whether a therapist, and the client if one is named, are free at a time. If not, the answer says which
-- sessions are in the way and which times are free. A proposal would get the same result. This answer
-- also has the names that the proposal's refusal leaves out.
--
-- Caller: an active therapist, as the token's subject. Changes nothing and holds nothing.
-- p_start_time is text, in ISO 8601 with an offset. Postgres would read a timestamptz without an offset
-- in the connection's time zone.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR.

create or replace function session_approval.check_availability(
  p_start_time text,
  p_duration_minutes integer,
  p_exclude_session_id uuid,
  p_patient_id uuid
)
returns setof public.availability_answer
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_people constant uuid[] := array_remove(array[v_caller.id, p_patient_id], null);
  v_start_time constant timestamptz := session_approval.parse_instant(p_start_time);
  v_duration_minutes constant integer := coalesce(
    p_duration_minutes, (select settings.default_duration from session_approval.settings settings));
  v_end_time constant timestamptz := v_start_time + make_interval(mins => v_duration_minutes);
  v_except_id constant uuid := (
    select s.id
    from public.sessions s
    where s.id = p_exclude_session_id
      and s.therapist_id = v_caller.id
  );
  v_problems jsonb;
  v_answer public.availability_answer;
begin
  if not session_approval.is_therapist(v_caller.user_type::text) then
    perform session_approval.refuse(
      403, 'AUTHORIZATION_ERROR', 'Only a therapist can look into the calendar');
  end if;

  v_problems := jsonb_strip_nulls(jsonb_build_object(
    'start_time', case
      when v_start_time is null
        then 'must be in ISO 8601 with an offset, such as 2030-01-31T10:00:00+01:00'
      when (v_start_time > now() and v_start_time < '2200-01-01') is not true
        then 'must be in the future'
    end,
    'duration_minutes', case
      when (v_duration_minutes between 5 and 480) is not true
        then 'must be a whole number of minutes from 5 to 480'
    end,
    'patient_id', case
      when p_patient_id = v_caller.id
        or (
          p_patient_id is not null
          and not exists (select from session_approval.clients c where c.id = p_patient_id)
        )
        then 'must be a client to whom you can propose sessions'
    end
  ));
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The question is not valid', v_problems);
  end if;

  v_answer.conflicting_sessions := session_approval.named_conflicts(
    session_approval.conflicting_sessions(
      v_caller.id, v_people, v_start_time, v_end_time, v_except_id));
  v_answer.available := v_answer.conflicting_sessions = '[]';
  v_answer.suggested_times := case
    when v_answer.available then '[]'
    else session_approval.free_times(
      v_people, v_start_time, v_end_time, v_except_id,
      session_approval.time_zone_of(v_caller.id, null))
  end;

  return next v_answer;
end
$$;

create or replace function public.check_availability(
  p_start_time text,
  p_duration_minutes integer default null,
  p_exclude_session_id uuid default null,
  p_patient_id uuid default null
)
returns setof public.availability_answer
language sql
stable
security invoker
set search_path = ''
as $$
  select *
  from session_approval.check_availability(
    p_start_time, p_duration_minutes, p_exclude_session_id, p_patient_id)
$$;

comment on function public.check_availability(text, integer, uuid, uuid) is
  'Whether you, a therapist, are free at a time, and the client too if you name one. If not, the '
  'sessions in the way and up to five free times. Refuses with 400, 401, 403.';
comment on function session_approval.check_availability(text, integer, uuid, uuid) is
  'The implementation of public.check_availability.';

revoke all on function public.check_availability(text, integer, uuid, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.check_availability(text, integer, uuid, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.check_availability(text, integer, uuid, uuid)
  to authenticated, service_role;
grant execute on function session_approval.check_availability(text, integer, uuid, uuid)
  to authenticated, service_role;
