-- Refuse a session at a time at which one of its people is taken. The refusal says which time was asked
-- for, which sessions are in the way, and when all of the people are free. Labels are in the caller's
-- own time zone if it is known, else in the given one.
--
-- The details go to Postgres's log, so they hold no title and no name. A therapist's program can ask
-- check_availability for these, with start_time and duration_minutes.
--
-- Refusals: 409 TIME_SLOT_CONFLICT (details: start_time, duration_minutes, conflicting_sessions,
-- suggested_times).

create or replace function session_approval.refuse_if_taken(
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_except_id uuid,
  p_time_zone text
)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_conflicts constant jsonb := session_approval.conflicting_sessions(
    auth.uid(), p_people, p_start_time, p_end_time, p_except_id);
begin
  if v_conflicts <> '[]' then
    perform session_approval.refuse(
      409, 'TIME_SLOT_CONFLICT', 'Time slot is already booked',
      jsonb_build_object(
        'start_time', p_start_time,
        'duration_minutes', (extract(epoch from p_end_time - p_start_time) / 60)::integer,
        'conflicting_sessions', v_conflicts,
        'suggested_times', session_approval.free_times(
          p_people, p_start_time, p_end_time, p_except_id,
          session_approval.time_zone_of(auth.uid(), p_time_zone))
      ));
  end if;
end
$$;

comment on function session_approval.refuse_if_taken(uuid[], timestamptz, timestamptz, uuid, text) is
  'Refuse (409) a time at which one of these people is taken.';

revoke all on function session_approval.refuse_if_taken(uuid[], timestamptz, timestamptz, uuid, text)
  from public, anon, authenticated;
