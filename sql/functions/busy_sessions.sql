-- The sessions that hold the time of one of these people between two moments, whoever made them.
--
-- Those that came through approval are found by their bookings; the others by their start, from a day before
-- on: no session is longer than that. One that takes no time is in nobody's way.

create or replace function session_approval.busy_sessions(
  p_people uuid[],
  p_from timestamptz,
  p_until timestamptz
)
returns setof session_approval.held_sessions
language sql
stable
security invoker
set search_path = ''
as $$
  select h.*
  from session_approval.held_sessions h
  where h.start_time < p_until
    and h.end_time > p_from
    and h.start_time < h.end_time
    and h.id in (
      select b.session_id
      from session_approval.bookings b
      where b.person_id = any (p_people)
        and b.during && tstzrange(p_from, p_until)

      union

      select s.id
      from public.sessions s
      where (s.therapist_id = any (p_people) or s.user_id = any (p_people))
        and s.start_time < p_until
        and s.start_time > p_from - interval '1 day'
    )
$$;

comment on function session_approval.busy_sessions(uuid[], timestamptz, timestamptz) is
  'The sessions that hold the time of one of these people between two moments.';

revoke all on function session_approval.busy_sessions(uuid[], timestamptz, timestamptz)
  from public, anon, authenticated;
