-- Finds what does not add up between lots, ledger and sessions. It returns no rows if everything adds
-- up. It changes nothing.
--
-- Caller: service_role, or the owner.
-- It reads every lot and the whole ledger, which takes minutes on millions of rows. It reads one
-- snapshot: approvals can run at the same time, and neither side disturbs the other.
-- It does not check sessions that older code approved before the ledger existed.
-- If a refund of a debit was undone by a second debit, only the second debit counts.

create or replace function session_approval.reconcile_credits()
returns setof public.reconciliation_answer
language sql
stable
security definer
set search_path = ''
as $$
  with sums as (
    select
      e.lot_id, sum(e.delta)::integer as credits,
      (array_agg(e.user_id order by e.id desc))[1] as user_id
    from session_approval.credit_ledger e
    group by e.lot_id
  ),
  approvals as (
    select s.id, s.credit_lot_id
    from public.sessions s
    where to_timestamp(extract(epoch from s.approved_at))
      >= (select min(e.created_at) from session_approval.credit_ledger e)
  ),
  debits as (
    select e.session_id, e.lot_id, count(*)::integer as taken
    from session_approval.credit_ledger e
    where e.kind = 'approval'
      and not exists (
        select
        from session_approval.credit_ledger refund
        join session_approval.credit_ledger again on again.returns_id = refund.id
        where refund.returns_id = e.id
      )
    group by e.session_id, e.lot_id
  ),
  refunds as (
    select
      e.session_id, min(e.lot_id::text)::uuid as lot_id, min(e.user_id::text)::uuid as user_id,
      count(*)::integer as returned, count(distinct debit.id)::integer as taken
    from session_approval.credit_ledger e
    left join session_approval.credit_ledger debit
      on debit.id = e.returns_id
     and debit.session_id = e.session_id
     and debit.kind = 'approval'
    where e.kind = 'refund'
    group by e.session_id
  )
  select
    case
      when l.id is null then 'a lot is gone, and its ledger has credits left'
      else 'a balance differs from its ledger'
    end,
    coalesce(l.id, sums.lot_id), coalesce(l.user_id, sums.user_id), null::uuid,
    coalesce(sums.credits, 0), coalesce(l.credits_balance, 0)::integer
  from public.user_credits l
  full join sums on sums.lot_id = l.id
  where coalesce(sums.credits, 0) <> coalesce(l.credits_balance, 0)::integer

  union all
  select 'a balance is negative', l.id, l.user_id, null, 0, l.credits_balance::integer
  from public.user_credits l
  where l.credits_balance < 0

  union all
  select
    case
      when a.id is null then 'a session was charged to a lot that it does not say'
      when d.taken is null then 'an approved session was not charged to the lot that it says'
      else 'a session was charged more than once'
    end,
    coalesce(a.credit_lot_id, d.lot_id), s.user_id, s.id, (a.id is not null)::integer,
    coalesce(d.taken, 0)
  from approvals a
  full join debits d
    on d.session_id = a.id
   and d.lot_id = a.credit_lot_id
  join public.sessions s on s.id = coalesce(a.id, d.session_id)
  where coalesce(d.taken, 0) <> (a.id is not null)::integer

  union all
  select
    'a session was refunded more often than charged', r.lot_id, r.user_id, r.session_id,
    r.taken, r.returned
  from refunds r
  where r.returned > r.taken
$$;

create or replace function public.reconcile_credits()
returns setof public.reconciliation_answer
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.reconcile_credits() $$;

comment on function public.reconcile_credits() is
  'Find what does not add up between credits, ledger and sessions, in credits; no rows if everything '
  'adds up. For service_role.';
comment on function session_approval.reconcile_credits() is
  'The implementation of public.reconcile_credits.';

revoke all on function public.reconcile_credits() from public, anon, authenticated, service_role;
revoke all on function session_approval.reconcile_credits()
  from public, anon, authenticated, service_role;
grant execute on function public.reconcile_credits() to service_role;
grant execute on function session_approval.reconcile_credits() to service_role;
