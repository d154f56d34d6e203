-- A TRUNCATE of the sessions gives back all the time that they held.

create or replace function session_approval.clear_bookings()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from session_approval.bookings b where true;

  return null;
end
$$;

comment on function session_approval.clear_bookings() is 'Gives back all time when sessions are truncated.';

revoke all on function session_approval.clear_bookings() from public, anon, authenticated;

create or replace trigger session_approval_slot_truncate
after truncate on public.sessions
for each statement execute function session_approval.clear_bookings();

comment on trigger session_approval_slot_truncate on public.sessions is
  'Sessions removed by TRUNCATE no longer hold any time.';
