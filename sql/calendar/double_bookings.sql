-- Future sessions that hold one person at the same time. They were there at install, or other code
-- inserted them without asking the calendar. They stay as they are; make doctor lists them.

create or replace view session_approval.double_bookings as
with upcoming as materialized (
  select person.id as person_id, h.id as session_id, tstzrange(h.start_time, h.end_time) as during
  from session_approval.held_sessions h
  cross join lateral (values (h.therapist_id), (h.user_id)) as person (id)
  where h.end_time > now()
    and h.start_time < h.end_time
)
select a.person_id, a.session_id, b.session_id as other_session_id, a.during * b.during as during
from upcoming a
join upcoming b
  on b.person_id = a.person_id
 and b.session_id > a.session_id
 and b.during && a.during;

revoke all on session_approval.double_bookings from public, anon, authenticated;

comment on view session_approval.double_bookings is
  'Pairs of future sessions that hold one person at the same time, and the time that they share.';
