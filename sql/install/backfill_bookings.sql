-- What an earlier release or attempt left gets its slots; creating the triggers above has locked out every
-- writer until this transaction ends. Of two that overlap the approved one, then the older, gets the slot.
-- sql/online does it afterwards, session by session.
insert into session_approval.bookings (session_id, person_id, during)
select h.id, person.id, tstzrange(h.start_time, h.end_time)
from session_approval.held_sessions h
join public.sessions s on s.id = h.id
cross join lateral (values (h.therapist_id), (h.user_id)) person (id)
where current_setting('session_approval.online', true) is distinct from 'on'
  and s.requires_approval
  and h.start_time < h.end_time
  and h.end_time > now()
  and person.id is not null
order by s.status = 'pending_approval', s.created_at, s.id
on conflict do nothing;
