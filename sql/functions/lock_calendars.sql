-- Wait until nobody else is deciding about these people's time, and keep it so until the transaction ends.
-- Locks: each person's calendar, in id order.

create or replace function session_approval.lock_calendars(p_people uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_person_id uuid;
begin
  for v_person_id in select distinct p.id from unnest(p_people) p (id) order by p.id loop
    perform pg_advisory_xact_lock(session_approval.calendar_key(v_person_id));
  end loop;
end
$$;

comment on function session_approval.lock_calendars(uuid[]) is
  'Lock these people''s calendars until the transaction ends.';

revoke all on function session_approval.lock_calendars(uuid[]) from public, anon, authenticated;
