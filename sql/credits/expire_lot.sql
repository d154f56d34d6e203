-- Writes off the credits that are left in an expired lot. They move from the balance to credits_expired,
-- and the ledger gets an entry. A lot that has not expired, or has no credits left, does not change.
-- Locks: the lot.

create or replace function session_approval.expire_lot(p_lot_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform
  from public.user_credits l
  where l.id = p_lot_id
    and l.expires_at <= now()
    and l.credits_balance > 0
  for no key update;

  if not found then
    return;
  end if;

  perform session_approval.note_credit_entry(jsonb_build_object('kind', 'expiry'));

  update public.user_credits l
  set
    credits_expired = coalesce(l.credits_expired, 0) + l.credits_balance,
    credits_balance = 0
  where l.id = p_lot_id;
end
$$;

comment on function session_approval.expire_lot(uuid) is
  'Write off the credits left in a lot that has expired.';

revoke all on function session_approval.expire_lot(uuid) from public, anon, authenticated;
