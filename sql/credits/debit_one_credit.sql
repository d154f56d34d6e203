-- Takes exactly one credit from exactly one of a client's lots, to pay for a session. Returns the lot
-- that paid and the number of credits that the client can spend now.
--
-- The lot that expires first pays first; lots without an expiry come last. Then the oldest lot pays,
-- then the lowest id.
-- Locks: every lot of the client that can pay, in id order. To lock only the first lot is not enough: a
-- second approval would wait for that row, find it spent, and be refused although another lot could pay.
--
-- Refusals: 402 INSUFFICIENT_CREDITS (details: required, available, short_by; credits).

create or replace function session_approval.debit_one_credit(
  p_user_id uuid,
  p_session_id uuid,
  out lot_id uuid,
  out credits_balance_after integer
)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform session_approval.note_credit_entry(
    jsonb_build_object('kind', 'approval', 'session_id', p_session_id, 'actor_id', p_user_id));

  with locked as materialized (
    select k.id, k.credits_balance, k.expires_at, k.created_at
    from session_approval.spendable_lots k
    where k.user_id = p_user_id
    order by k.id
    for no key update
  )
  update public.user_credits l
  set credits_balance = l.credits_balance - 1
  where l.id = (
    select k.id
    from locked k
    order by k.expires_at nulls last, k.created_at, k.id
    limit 1
  )
  returning l.id, (select sum(k.credits_balance) - 1 from locked k)::integer
  into lot_id, credits_balance_after;

  if not found then
    perform session_approval.refuse(
      402, 'INSUFFICIENT_CREDITS', 'Insufficient credits',
      jsonb_build_object('required', 1, 'available', 0, 'short_by', 1));
  end if;
end
$$;

comment on function session_approval.debit_one_credit(uuid, uuid) is
  'Take one credit from the lot that must pay first; returns the lot, and the credits that the client '
  'can spend afterwards. Refuses with 402 if no lot can pay.';

revoke all on function session_approval.debit_one_credit(uuid, uuid)
  from public, anon, authenticated;
