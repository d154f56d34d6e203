-- Wait until no other transaction decides about these people's time, and keep others waiting until this
-- transaction ends.
-- Locks: each person's calendar, in id order. Then it waits for the transactions that are already
-- writing sessions without approval (announce_direct_write). Those that start later find that this
-- transaction came first.

create or replace function session_approval.lock_calendars(p_people uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_person_id uuid;
  v_older record;
begin
  for v_person_id in select distinct p.id from unnest(p_people) p (id) order by p.id loop
    perform pg_advisory_xact_lock(session_approval.calendar_key(v_person_id));
  end loop;

  for v_older in
    select distinct l.classid::bigint::integer as shelf, l.objid::bigint::integer as transaction
    from pg_catalog.pg_locks l
    join pg_catalog.pg_database d on d.oid = l.database
    join unnest(p_people) p (id) on session_approval.calendar_lock_class(p.id) = l.classid::bigint
    where d.datname = current_database()
      and l.locktype = 'advisory'
      and l.objsubid = 2
      and l.mode = 'ExclusiveLock'
      and l.granted
    order by 1, 2
  loop
    perform pg_advisory_xact_lock_shared(v_older.shelf, v_older.transaction);
  end loop;
end
$$;

comment on function session_approval.lock_calendars(uuid[]) is
  'Lock these people''s calendars until the transaction ends.';

revoke all on function session_approval.lock_calendars(uuid[]) from public, anon, authenticated;
