-- Tell whoever decides about these people's time that a session without approval is being written: they wait
-- until its transaction ends, and see it. Its writer waits for nobody.
--
-- The advisory lock is this transaction's own, (the shelf of the calendar, the transaction's number), so that
-- nobody can be in its way; lock_calendars looks for it. Calendars share 256 shelves, so that an import of
-- any size takes no more locks than that.

create or replace function session_approval.announce_direct_write(p_people uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select pg_try_advisory_xact_lock(
    session_approval.calendar_lock_class(p.id),
    (pg_current_xact_id()::text::bigint & 2147483647)::integer)
  from unnest(p_people) p (id)
$$;

comment on function session_approval.announce_direct_write(uuid[]) is
  'Let whoever decides about these people''s time wait for this transaction.';

revoke all on function session_approval.announce_direct_write(uuid[]) from public, anon, authenticated;
