-- End a proposal: the client has declined it, or the therapist has withdrawn it. The caller has locked
-- the session. The same person gets the same answer when ending it the same way again.
--
-- Refusals: 409 SESSION_NOT_PENDING (details: status, cancellation_reason), 410 SESSION_EXPIRED,
-- 400 VALIDATION_ERROR (reason too long).

create or replace function session_approval.end_proposal(
  p_session_id uuid,
  p_actor_id uuid,
  p_how text,
  p_reason text
)
returns setof public.session_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- In the column's own type, as of our time zone: the statement runs under the application's.
  v_cancelled_at constant public.sessions.cancelled_at%type := now();
  v_session session_approval.session_details;
  v_answer public.session_answer;
begin
  select d.* into v_session from session_approval.session_details d where d.id = p_session_id;

  if (v_session.status = 'cancelled'
    and v_session.cancellation_reason = p_how
    and v_session.cancelled_by = p_actor_id::text) is not true
  then
    perform session_approval.refuse_unless_pending(
      v_session.status, v_session.approval_expires_at, v_session.cancellation_reason);
    perform session_approval.note_status_change(p_actor_id, p_reason);

    update public.sessions s
    set
      status = 'cancelled',
      cancellation_reason = p_how,
      cancelled_by = p_actor_id,
      cancelled_at = v_cancelled_at
    where s.id = p_session_id;
  end if;

  select a.* into v_answer from session_approval.session_answers a where a.id = p_session_id;

  v_answer.beside := jsonb_build_object(
    'refunded', false,
    'refund_expires_at', null,
    'message', case p_how when 'declined' then 'Session declined.' else 'Session withdrawn.' end,
    'room', session_approval.room_to_remove(p_session_id));

  return next v_answer;
end
$$;

comment on function session_approval.end_proposal(uuid, uuid, text, text) is
  'End a waiting proposal as declined or withdrawn; refuses with 400, 409, 410.';

revoke all on function session_approval.end_proposal(uuid, uuid, text, text)
  from public, anon, authenticated;
