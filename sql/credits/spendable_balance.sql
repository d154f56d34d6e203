-- How many credits a client can spend now: the balance that an approval would see.

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
  'How many credits a client can spend now.';

revoke all on function session_approval.spendable_balance(uuid) from public, anon, authenticated;
