-- Enter lots into the ledger that it does not know yet, each with what is in it: the lots that were there
-- before the ledger. A lot that the ledger knows stays as it is.
--
-- Caller: the installs and the trigger of TRUNCATE, who see to it that these lots do not change meanwhile.

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
  'Enter these lots into the ledger with what is in them, where it does not know them yet.';

revoke all on function session_approval.open_lots(uuid[]) from public, anon, authenticated;
