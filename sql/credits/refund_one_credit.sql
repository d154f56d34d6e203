-- Returns a session's credit to the lot that paid. The ledger entry names the debit that it returns. If
-- there is no debit to return, the ledger refuses the entry.
--
-- If the lot has expired since, it gets the installation's grace period for this one credit. Its other
-- credits are written off first, so that a refund does not make them spendable again. A lot that was
-- switched off with credits in it stays switched off. If the lot does not exist any more, the credit
-- becomes a new lot; if the client can have only one lot and has one, the credit goes into that lot.
-- Locks: the lot. The caller has locked the session.

create or replace function session_approval.refund_one_credit(p_session_id uuid, p_actor_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_note constant jsonb := jsonb_build_object(
    'kind', 'refund', 'session_id', p_session_id, 'actor_id', p_actor_id,
    'returns_id', session_approval.unreturned_debit(p_session_id));
  v_grace constant timestamptz := (
    select now() + settings.refund_grace from session_approval.settings settings
  );
  v_session record;
  v_lot record;
begin
  select s.user_id, s.credit_lot_id
  into v_session
  from public.sessions s
  where s.id = p_session_id;

  select l.id, l.expires_at <= now() as has_expired
  into v_lot
  from public.user_credits l
  where l.id = v_session.credit_lot_id
  for no key update;

  if not found then
    perform session_approval.add_credits(v_session.user_id, 1, v_grace, v_note);

    return;
  end if;

  if v_lot.has_expired then
    perform session_approval.expire_lot(v_lot.id);
  end if;

  perform session_approval.note_credit_entry(v_note);

  update public.user_credits l
  set
    credits_balance = coalesce(l.credits_balance, 0) + 1,
    status = case when coalesce(l.credits_balance, 0) <= 0 then 'active' else l.status end,
    expires_at = case when v_lot.has_expired then v_grace else l.expires_at end
  where l.id = v_lot.id;
end
$$;

comment on function session_approval.refund_one_credit(uuid, uuid) is
  'Return a session''s credit to the lot that paid.';

revoke all on function session_approval.refund_one_credit(uuid, uuid)
  from public, anon, authenticated;
