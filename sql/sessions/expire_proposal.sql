-- Put away a proposal that was not answered in time. A proposal that was answered meanwhile stays as it
-- is.
-- Locks: the session.

create or replace function session_approval.expire_proposal(p_session_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- In the column's own type, as of our time zone: the statement runs under the application's.
  v_cancelled_at public.sessions.cancelled_at%type;
begin
  select s.approval_expires_at
  into v_cancelled_at
  from public.sessions s
  where s.id = p_session_id
    and s.status = 'pending_approval'
    and s.approval_expires_at <= now()
  for no key update;

  if not found then
    return;
  end if;

  perform session_approval.note_status_change(null, 'Nobody answered in time');

  update public.sessions s
  set
    status = 'cancelled',
    cancellation_reason = 'expired',
    cancelled_at = v_cancelled_at
  where s.id = p_session_id;
end
$$;

comment on function session_approval.expire_proposal(uuid) is
  'End a proposal whose time to answer is over, as cancelled with the reason expired.';

revoke all on function session_approval.expire_proposal(uuid) from public, anon, authenticated;
