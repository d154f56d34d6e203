-- The sessions that hold the time of one of these people between two moments. It does not matter who
-- made them.
--
-- A session is found by its start, from a day before the first moment on. A session of more than a day
-- is found by its bookings, which only a session that came through approval has. A session that takes no
-- time is not in the way and is left out.

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
  where (h.therapist_id = any (p_people) or h.user_id = any (p_people))
    and h.start_time > p_from - interval '1 day'
    and h.start_time < p_until
    and h.end_time > p_from
    and h.start_time < h.end_time

  union all

  select h.*
  from session_approval.held_sessions h
  where h.id in (
    select b.session_id
    from session_approval.bookings b
    where b.person_id = any (p_people)
      and b.during @> tstzrange(p_from - interval '1 day', p_from, '[]')
  )
$$;

comment on function session_approval.busy_sessions(uuid[], timestamptz, timestamptz) is
  'The sessions that hold the time of one of these people between two moments.';

revoke all on function session_approval.busy_sessions(uuid[], timestamptz, timestamptz)
  from public, anon, authenticated;
