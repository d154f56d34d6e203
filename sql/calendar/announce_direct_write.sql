-- Announce that this transaction writes a session without approval. A transaction that decides about the
-- time of the same people then waits until this one ends, and sees the session. This transaction waits
-- for no other.
--
-- The announcement is an advisory lock of this transaction alone: its key is the shelf of the calendar
-- and the transaction's number. No other transaction can be in its way; lock_calendars looks for it. All
-- calendars share 256 shelves, so an import of any size takes at most 256 locks.

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
  'Make other transactions that decide about these people''s time wait for this transaction.';

revoke all on function session_approval.announce_direct_write(uuid[]) from public, anon, authenticated;
