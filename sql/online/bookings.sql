-- What an earlier release or attempt left gets its slots, one session in a transaction: the same, in the same
-- order, as at the end of triggers/sessions_slot.sql.

set lock_timeout = '5s';

do $$
declare
  v_sessions constant uuid[] := array(
    select h.id
    from session_approval.held_sessions h
    join public.sessions s on s.id = h.id
    where s.requires_approval
      and h.start_time < h.end_time
      and h.end_time > now()
      and not exists (
        select from session_approval.bookings b where b.session_id = h.id
      )
    order by s.status = 'pending_approval', s.created_at, s.id
  );
  v_session_id uuid;
begin
  foreach v_session_id in array v_sessions loop
    -- What a session holds is changed only by whoever has locked it.
    perform from public.sessions s where s.id = v_session_id for no key update;

    insert into session_approval.bookings (session_id, person_id, during)
    select h.id, person.id, tstzrange(h.start_time, h.end_time)
    from session_approval.held_sessions h
    cross join lateral (values (h.therapist_id), (h.user_id)) person (id)
    where h.id = v_session_id
      and h.start_time < h.end_time
      and h.end_time > now()
      and person.id is not null
    on conflict do nothing;

    commit;
  end loop;
end
$$;

reset lock_timeout;
