-- The lots found at install get their opening rows; creating the triggers above has locked out every writer
-- until this transaction ends, so that no change falls between the two. sql/online does it afterwards, in
-- batches; a lot that is changed before its turn is opened by its trigger.
insert into session_approval.credit_ledger (lot_id, user_id, kind, delta, balance_after)
select
  l.id, l.user_id, 'opening', found.credits, found.credits
from public.user_credits l
cross join lateral (select coalesce(l.credits_balance, 0)::integer as credits) found
where current_setting('session_approval.online', true) is distinct from 'on'
  and not exists (
    select from session_approval.credit_ledger e where e.lot_id = l.id
  )
order by l.created_at, l.id;
