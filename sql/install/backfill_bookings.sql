-- Book the time of the sessions that an earlier release or attempt left. The install locked writers out
-- before it made the triggers, and they stay out until this transaction ends. An online install skips
-- this, because sql/online/bookings.sql does the same afterwards, session by session.

do $$
begin
  if current_setting('session_approval.online', true) is distinct from 'on' then
    perform session_approval.book_found_sessions(
      array(select h.id from session_approval.held_sessions h where h.end_time > now()));
  end if;
end
$$;
