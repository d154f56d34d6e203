-- Ledger rows are added, and never changed or removed. Other roles have no grants to change
-- or remove them. This trigger keeps the owner from doing it by mistake.
--
-- In the rare case that a row must be removed (a court orders it, for example), the owner sets in the
-- same transaction:
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

comment on trigger append_only on session_approval.credit_ledger is
  'Ledger rows are never changed or removed.';
comment on trigger append_only_truncate on session_approval.credit_ledger is
  'Ledger rows are never removed.';
