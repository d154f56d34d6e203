-- The client or the therapist calls a session off. While the session waits for approval, the therapist
-- withdraws it or the client declines it, and no credit moves. Once it is approved, cancellation_terms
-- decides whether the credit goes back.
--
-- Caller: the session's client or therapist, as the token's subject; the server for the person it names,
-- also when that account is no longer active.
-- Locks: the session, then the lot that paid. The same person gets the same answer when repeating the
-- call.
--
-- Refusals: 400 VALIDATION_ERROR (reason too long), 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
-- 404 SESSION_NOT_FOUND (absent or not yours), 409 SESSION_NOT_CANCELLABLE (begun, over, or called off by
-- the other; details: status, cancellation_reason), of a proposal 409 SESSION_NOT_PENDING and 410
-- SESSION_EXPIRED.

create or replace function session_approval.cancel_session(
  p_session_id uuid, p_reason text, p_user_id uuid
)
returns setof public.session_answer
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  -- In the column's own type, as of our time zone: the statement runs under the application's.
  v_cancelled_at constant public.sessions.cancelled_at%type := now();
  v_caller session_approval.people := session_approval.prove_caller(p_user_id, true);
  v_session record;
  v_how text;
  v_refund_expires_at timestamptz;
  v_answer public.session_answer;
begin
  select s.status, s.user_id, s.end_time, s.cancellation_reason
  into v_session
  from public.sessions s
  where s.id = p_session_id
    and v_caller.id in (s.user_id, s.therapist_id)
  for no key update;

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;

  if v_session.status = 'pending_approval'
    or (
      v_session.status = 'cancelled'
      and v_session.cancellation_reason in ('declined', 'withdrawn', 'expired')
    )
  then
    return query
    select * from session_approval.end_proposal(
      p_session_id, v_caller.id,
      case when v_caller.id = v_session.user_id then 'declined' else 'withdrawn' end, p_reason);
    return;
  end if;

  v_how := case when v_caller.id = v_session.user_id
    then 'cancelled_by_client' else 'cancelled_by_therapist' end;

  if v_session.status in ('scheduled', 'confirmed') and v_session.end_time > now() then
    if (session_approval.cancellation_terms(p_session_id, v_caller.id)).refundable then
      perform session_approval.refund_one_credit(p_session_id, v_caller.id);
    end if;

    perform session_approval.note_status_change(v_caller.id, p_reason);

    update public.sessions s
    set
      status = 'cancelled',
      cancellation_reason = v_how,
      cancelled_by = v_caller.id,
      cancelled_at = v_cancelled_at
    where s.id = p_session_id;
  elsif (v_session.status = 'cancelled' and v_session.cancellation_reason = v_how) is not true then
    perform session_approval.refuse(
      409, 'SESSION_NOT_CANCELLABLE', 'This session can no longer be cancelled',
      jsonb_build_object(
        'status', v_session.status,
        'cancellation_reason', session_approval.coded_reason(v_session.cancellation_reason)));
  end if;

  select a.* into v_answer from session_approval.session_answers a where a.id = p_session_id;

  select l.expires_at
  into v_refund_expires_at
  from session_approval.credit_ledger e
  left join public.user_credits l on l.id = e.lot_id
  where e.session_id = p_session_id
    and e.kind = 'refund'
    and not exists (select from session_approval.credit_ledger u where u.returns_id = e.id);

  v_answer.beside := jsonb_build_object(
    'refunded', found,
    'refund_expires_at', v_refund_expires_at,
    'message', 'Session cancelled.' || case when found then ' The credit was refunded.' else '' end,
    'room', session_approval.room_to_remove(p_session_id)
  ) || case
    when v_answer.user_id = v_caller.id then jsonb_build_object(
      'credits_balance_after', session_approval.spendable_balance(v_caller.id))
    else '{}'
  end;

  return next v_answer;
end
$$;

create or replace function public.cancel_session(
  p_session_id uuid,
  p_reason text default null,
  p_user_id uuid default auth.uid()
)
returns setof public.session_answer
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.cancel_session(p_session_id, p_reason, p_user_id) $$;

comment on function public.cancel_session(uuid, text, uuid) is
  'Call a session off, as its client or therapist. A waiting session is declined or withdrawn; an '
  'approved one is refunded by policy. Returns the session, and in beside refunded. Refuses with 400, '
  '401, 403, 404, 409, 410.';
comment on function session_approval.cancel_session(uuid, text, uuid) is
  'The implementation of public.cancel_session.';

revoke all on function public.cancel_session(uuid, text, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.cancel_session(uuid, text, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.cancel_session(uuid, text, uuid) to authenticated, service_role;
grant execute on function session_approval.cancel_session(uuid, text, uuid) to authenticated, service_role;
