-- Writes a ledger row for every lot before a TRUNCATE removes it. Row triggers do not fire for TRUNCATE.

create or replace function session_approval.record_truncated_credits()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform session_approval.open_lots(array(select l.id from public.user_credits l));

  insert into session_approval.credit_ledger (
    lot_id, user_id, kind, delta, balance_after, actor_id, source
  )
  select
    l.id, l.user_id, 'external', -coalesce(l.credits_balance, 0)::integer, 0, auth.uid(),
    session_approval.acting_role()
  from public.user_credits l
  order by l.id;

  return null;
end
$$;

comment on function session_approval.record_truncated_credits() is
  'Writes a ledger row for every lot that a TRUNCATE is about to remove.';

revoke all on function session_approval.record_truncated_credits() from public, anon, authenticated;

create or replace trigger session_approval_ledger_truncate
before truncate on public.user_credits
for each statement execute function session_approval.record_truncated_credits();

comment on trigger session_approval_ledger_truncate on public.user_credits is
  'Writes a row in session_approval.credit_ledger for every lot that TRUNCATE removes.';
