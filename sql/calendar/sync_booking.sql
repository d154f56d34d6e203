-- A session that came through approval, or waits for it, holds the time of its two people while it may
-- still take place. It does not matter who writes it: a write that would double-book one of them is
-- refused.
--
-- Sessions that other code keeps without approval are never refused, and their writers do not wait. The
-- writers only announce themselves (announce_direct_write) to transactions that decide about the same
-- people's time. A proposal that comes second therefore waits, and then sees the session.
--
-- Refusals: 409 TIME_SLOT_CONFLICT (refuse_if_taken).

create or replace function session_approval.sync_booking()
returns trigger
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_approved constant text[] := array['scheduled', 'confirmed', 'in_progress'];
  v_end_time timestamptz;
begin
  if tg_op = 'DELETE' then
    delete from session_approval.bookings b where b.session_id = old.id;

    return null;
  end if;

  if tg_op = 'UPDATE'
    and (
      old.start_time, old.end_time, old.duration_minutes, old.therapist_id, old.user_id,
      old.requires_approval
    ) is not distinct from (
      new.start_time, new.end_time, new.duration_minutes, new.therapist_id, new.user_id,
      new.requires_approval
    )
  then
    if (old.status, old.is_instant) is not distinct from (new.status, new.is_instant) then
      return null;
    end if;

    -- An approved session that keeps its time does not need to be booked again. It may overlap another
    -- session, because it is older than the calendar or was inserted without asking it. Its people must
    -- still be able to join.
    -- A proposal that is approved at the time that it holds is not booked again either. book_slot would
    -- find this too, but an approval would then take a tenth more instructions.
    if new.requires_approval and new.status = any (v_approved) then
      if old.status = any (v_approved) then
        return null;
      end if;

      if (select count(*) = 2 from session_approval.bookings b where b.session_id = new.id) then
        return null;
      end if;
    end if;
  end if;

  if new.requires_approval is not true then
    if (new.status = 'pending_approval' or new.status = any (v_approved))
      and coalesce(new.end_time, new.start_time) > now() - interval '1 day'
    then
      perform session_approval.announce_direct_write(array[new.therapist_id, new.user_id]);
    end if;
  else
    v_end_time := coalesce(
      new.end_time, new.start_time + make_interval(mins => new.duration_minutes::integer));
  end if;

  if new.requires_approval
    and new.start_time < v_end_time
    and (
      new.status = any (v_approved)
      or (
        new.status = 'pending_approval'
        and new.is_instant is not true
        and (select settings.block_pending_slots from session_approval.settings settings)
      )
    )
  then
    perform session_approval.book_slot(
      new.id, array[new.therapist_id, new.user_id], new.start_time, v_end_time, new.time_zone);
  elsif tg_op = 'UPDATE' then
    delete from session_approval.bookings b where b.session_id = new.id;
  end if;

  return null;
end
$$;

comment on function session_approval.sync_booking() is
  'Holds the time of a session''s two people, or gives it back; 409 when one of them is taken.';

revoke all on function session_approval.sync_booking() from public, anon, authenticated;

-- Postgres fires triggers in the order of their names, and these names come after the names of the
-- events' triggers. The order matters: the event of this change must read its note first. After that,
-- book_slot may put an expired proposal away, and write a note for that change.
create or replace trigger session_approval_slot
after insert or delete on public.sessions
for each row execute function session_approval.sync_booking();

create or replace trigger session_approval_slot_change
after update on public.sessions
for each row execute function session_approval.sync_booking();

comment on trigger session_approval_slot on public.sessions is
  'A session that needs approval holds its two people''s time.';
comment on trigger session_approval_slot_change on public.sessions is
  'A session that needs approval holds its two people''s time.';
