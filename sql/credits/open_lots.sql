-- Writes an opening entry, with the lot's current balance, for each of these lots that has no ledger
-- entry yet. Such a lot is older than the ledger. Nothing is written for a lot that has an entry.
--
-- Caller: the installs and the trigger of TRUNCATE. They make sure that these lots do not change
-- meanwhile.

create or replace function session_approval.open_lots(p_lot_ids uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into session_approval.credit_ledger (lot_id, user_id, kind, delta, balance_after)
  select l.id, l.user_id, 'opening', found.credits, found.credits
  from public.user_credits l
  cross join lateral (select coalesce(l.credits_balance, 0)::integer as credits) found
  where l.id = any (p_lot_ids)
    and not exists (
      select from session_approval.credit_ledger e where e.lot_id = l.id
    )
  order by l.created_at, l.id
  on conflict do nothing
$$;

comment on function session_approval.open_lots(uuid[]) is
  'Write an opening ledger entry, with the current balance, for each of these lots that has no '
  'entry yet.';

revoke all on function session_approval.open_lots(uuid[]) from public, anon, authenticated;
