-- Close an approved session whose end has passed and that its therapist has not closed. It becomes
-- completed when somebody joined it, and no_show when no person joined. After a no_show the credit goes
-- back, if the policy says so (settings.refund_unattended).
--
-- The caller has locked the session. Locks: the lot that paid, when the credit goes back.

create or replace function session_approval.close_session(p_session_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_was_joined constant boolean := (
    select s.status = 'in_progress' from public.sessions s where s.id = p_session_id
  );
begin
  if not v_was_joined
    and (select settings.refund_unattended from session_approval.settings settings)
    and (session_approval.cancellation_terms(p_session_id, null)).is_paid
  then
    perform session_approval.refund_one_credit(p_session_id, null);
  end if;

  perform session_approval.note_status_change(
    null, case when v_was_joined then 'Its end has passed' else 'Nobody joined' end);

  update public.sessions s
  set status = case when v_was_joined then 'completed' else 'no_show' end
  where s.id = p_session_id;
end
$$;

comment on function session_approval.close_session(uuid) is
  'End a session whose time is over: completed when somebody joined, else no_show.';

revoke all on function session_approval.close_session(uuid) from public, anon, authenticated;
