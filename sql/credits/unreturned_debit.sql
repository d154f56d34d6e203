-- The id of the ledger entry that pays for a session: the session's debit that no refund has returned;
-- null if there is none. A session has at most one, because a second debit undoes the refund of the
-- first.

create or replace function session_approval.unreturned_debit(p_session_id uuid)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select debit.id
  from session_approval.credit_ledger debit
  where debit.session_id = p_session_id
    and debit.kind = 'approval'
    and not exists (
      select
      from session_approval.credit_ledger refund
      where refund.returns_id = debit.id
    )
$$;

comment on function session_approval.unreturned_debit(uuid) is
  'The id of the ledger entry that pays for a session; null if there is none, or if it was refunded.';

revoke all on function session_approval.unreturned_debit(uuid) from public, anon, authenticated;
