-- Refuse an answer to a proposal that no longer waits. Either it was not answered in time, or it was
-- already decided.
--
-- Refusals: 410 SESSION_EXPIRED (details: approval_expires_at), 409 SESSION_NOT_PENDING (details: status,
-- cancellation_reason).

create or replace function session_approval.refuse_unless_pending(
  p_status text,
  p_approval_expires_at timestamptz,
  p_cancellation_reason text
)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if (p_status = 'pending_approval' and p_approval_expires_at <= now())
    or (p_status = 'cancelled' and p_cancellation_reason = 'expired')
  then
    perform session_approval.refuse(
      410, 'SESSION_EXPIRED', 'Nobody answered this request in time',
      jsonb_build_object('approval_expires_at', p_approval_expires_at));
  elsif p_status is distinct from 'pending_approval' then
    perform session_approval.refuse(
      409, 'SESSION_NOT_PENDING', 'Session not found or not pending approval',
      jsonb_build_object(
        'status', p_status,
        'cancellation_reason', session_approval.coded_reason(p_cancellation_reason)));
  end if;
end
$$;

comment on function session_approval.refuse_unless_pending(text, timestamptz, text) is
  'Refuse (409, 410) a proposal that no longer waits for an answer.';

revoke all on function session_approval.refuse_unless_pending(text, timestamptz, text)
  from public, anon, authenticated;
