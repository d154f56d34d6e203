-- How many credits a client can spend now: what an approval would see.

create or replace function session_approval.spendable_balance(p_user_id uuid)
returns integer
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(sum(l.credits_balance), 0)::integer
  from session_approval.spendable_lots l
  where l.user_id = p_user_id
$$;

comment on function session_approval.spendable_balance(uuid) is
  'Credits that a client can spend now.';

revoke all on function session_approval.spendable_balance(uuid) from public, anon, authenticated;
