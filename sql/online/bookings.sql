-- Book the time of the sessions that an earlier release or attempt left. It does the same, in the same
-- order, as sql/install/backfill_bookings.sql, but with one transaction for each session.

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
    -- Only the transaction that has locked a session may change the time that it holds.
    perform from public.sessions s where s.id = v_session_id for no key update;

    perform session_approval.book_found_sessions(array[v_session_id]);

    commit;
  end loop;
end
$$;

reset lock_timeout;
