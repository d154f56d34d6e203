-- Hold the time of sessions that came through approval before there was a calendar. An earlier attempt
-- may have left such sessions. No session is refused: when two of them overlap, an approved session gets
-- the time before a waiting one, and then the older one gets it.
--
-- Caller: the installs. They make sure that these sessions do not change meanwhile.

create or replace function session_approval.book_found_sessions(p_session_ids uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into session_approval.bookings (session_id, person_id, during)
  select h.id, person.id, tstzrange(h.start_time, h.end_time)
  from session_approval.held_sessions h
  join public.sessions s on s.id = h.id
  cross join lateral (values (h.therapist_id), (h.user_id)) person (id)
  where h.id = any (p_session_ids)
    and s.requires_approval
    and h.start_time < h.end_time
    and h.end_time > now()
    and person.id is not null
  order by s.status = 'pending_approval', s.created_at, s.id
  on conflict do nothing
$$;

comment on function session_approval.book_found_sessions(uuid[]) is
  'Hold the time of sessions that came through approval before there was a calendar.';

revoke all on function session_approval.book_found_sessions(uuid[]) from public, anon, authenticated;
