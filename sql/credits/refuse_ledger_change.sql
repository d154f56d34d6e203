-- The ledger only grows. Grants keep everybody below the owner out; this keeps the owner from slipping.
--
-- For the rare case in which a row must go (a court says so, say), the owner sets, in the same transaction:
--   set local session_approval.allow_ledger_changes = 'on';

create or replace function session_approval.refuse_ledger_change()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if current_setting('session_approval.allow_ledger_changes', true) is distinct from 'on' then
    raise exception 'session_approval.credit_ledger is append-only'
      using
        errcode = 'restrict_violation',
        hint = 'To change it all the same: '
          'set local session_approval.allow_ledger_changes = ''on'', in the same transaction.';
  end if;

  return coalesce(new, old);
end
$$;

comment on function session_approval.refuse_ledger_change() is
  'Refuses to change or remove ledger rows, unless session_approval.allow_ledger_changes is on.';

revoke all on function session_approval.refuse_ledger_change() from public, anon, authenticated;

create or replace trigger append_only
before update or delete on session_approval.credit_ledger
for each row execute function session_approval.refuse_ledger_change();

create or replace trigger append_only_truncate
before truncate on session_approval.credit_ledger
for each statement execute function session_approval.refuse_ledger_change();

comment on trigger append_only on session_approval.credit_ledger is 'The ledger only grows.';
comment on trigger append_only_truncate on session_approval.credit_ledger is 'The ledger only grows.';
