-- What does not add up between lots, ledger and sessions: no rows when everything does. It changes nothing.
--
-- Caller: service_role, or the owner. Reads every lot and the whole ledger: minutes on millions of rows.
-- It reads one snapshot, so that approvals under way neither disturb it nor are disturbed.

create or replace function session_approval.reconcile_credits()
returns table (
  problem text,
  lot_id uuid,
  user_id uuid,
  session_id uuid,
  expected integer,
  found integer
)
language sql
stable
security definer
set search_path = ''
as $$
  with sums as (
    select e.lot_id, sum(e.delta)::integer as credits
    from session_approval.credit_ledger e
    group by e.lot_id
  ),
  charges as (
    select
      e.session_id,
      count(*) filter (where e.kind = 'approval')::integer as debits,
      count(*) filter (where e.kind = 'refund')::integer as refunds,
      min(e.lot_id::text) filter (where e.kind = 'approval')::uuid as lot_id
    from session_approval.credit_ledger e
    where e.kind in ('approval', 'refund')
    group by e.session_id
  )
  select 'balance differs from the ledger', l.id, l.user_id, null::uuid, coalesce(sums.credits, 0),
    coalesce(l.credits_balance, 0)
  from public.user_credits l
  left join sums on sums.lot_id = l.id
  where coalesce(sums.credits, 0) <> coalesce(l.credits_balance, 0)

  union all
  select 'a lot is gone, and the ledger has credits for it', sums.lot_id, null, null, sums.credits, 0
  from sums
  left join public.user_credits l on l.id = sums.lot_id
  where l.id is null
    and sums.credits <> 0

  union all
  select 'a balance is negative', l.id, l.user_id, null, 0, l.credits_balance
  from public.user_credits l
  where l.credits_balance < 0

  union all
  select 'an approved session was not charged exactly once', s.credit_lot_id, s.user_id, s.id, 1,
    coalesce(charges.debits, 0)
  from public.sessions s
  left join charges on charges.session_id = s.id
  where s.approved_at is not null
    and coalesce(charges.debits, 0) <> 1

  union all
  select 'a session was charged to another lot than it says', charges.lot_id, s.user_id, s.id, 1, 0
  from public.sessions s
  join charges on charges.session_id = s.id
  where s.approved_at is not null
    and charges.debits = 1
    and charges.lot_id is distinct from s.credit_lot_id

  union all
  select 'a session was charged without being approved', charges.lot_id, s.user_id, s.id, 0,
    charges.debits
  from public.sessions s
  join charges on charges.session_id = s.id
  where s.approved_at is null
    and charges.debits > 0

  union all
  select 'a session was refunded more often than charged', charges.lot_id, null, charges.session_id,
    charges.debits, charges.refunds
  from charges
  where charges.refunds > charges.debits
$$;

create or replace function public.reconcile_credits()
returns table (
  problem text,
  lot_id uuid,
  user_id uuid,
  session_id uuid,
  expected integer,
  found integer
)
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.reconcile_credits() $$;

comment on function public.reconcile_credits() is
  'What does not add up between credits, ledger and sessions, in credits; no rows when all is well. For '
  'service_role.';
comment on function session_approval.reconcile_credits() is
  'The room behind public.reconcile_credits.';

revoke all on function public.reconcile_credits() from public, anon, authenticated, service_role;
revoke all on function session_approval.reconcile_credits()
  from public, anon, authenticated, service_role;
grant execute on function public.reconcile_credits() to service_role;
grant execute on function session_approval.reconcile_credits() to service_role;
