-- Writes a ledger row for every change of a balance: by our functions, by the application's own updates
-- and by a DBA. A lot that is inserted or deleted gets a row too.
--
-- Our functions say beforehand what the change is for (note_credit_entry). A change without a note is
-- 'external': its actor is the token's subject if there is one, and its source is the database role.
--
-- From a lot's first entry on, its entries add up to its balance at every commit. A lot that is older
-- than the ledger, and that a running install has not reached yet, gets its opening entry at its first
-- change.

create or replace function session_approval.record_credit_entry()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_note jsonb := nullif(current_setting('session_approval.credit_entry', true), '')::jsonb;
  v_before constant integer := coalesce(old.credits_balance, 0)::integer;
  v_after constant integer := coalesce(new.credits_balance, 0)::integer;
  -- A lot that gets another owner leaves one wallet and enters another.
  v_stays constant boolean := tg_op = 'UPDATE'
    and (old.id, old.user_id) is not distinct from (new.id, new.user_id);
begin
  if v_stays and v_before = v_after then
    return null;
  end if;

  if v_note is null then
    v_note := jsonb_build_object(
      'kind', 'external', 'actor_id', auth.uid(), 'source', session_approval.acting_role());
  else
    perform set_config('session_approval.credit_entry', '', true);
  end if;

  -- A lot without a ledger entry gets an opening entry with its balance before this change.
  if tg_op <> 'INSERT'
    and not exists (select from session_approval.credit_ledger e where e.lot_id = old.id)
  then
    insert into session_approval.credit_ledger (lot_id, user_id, kind, delta, balance_after)
    values (old.id, old.user_id, 'opening', v_before, v_before)
    on conflict do nothing;
  end if;

  insert into session_approval.credit_ledger (
    lot_id, user_id, session_id, kind, delta, balance_after, actor_id, reason, private_reason, source,
    reference, returns_id
  )
  select
    change.lot_id, change.user_id, (v_note ->> 'session_id')::uuid, v_note ->> 'kind', change.delta,
    change.balance_after, (v_note ->> 'actor_id')::uuid, v_note ->> 'reason',
    v_note ->> 'private_reason', v_note ->> 'source', v_note ->> 'reference',
    (v_note ->> 'returns_id')::bigint
  from (
    values
      (not v_stays and tg_op <> 'INSERT', old.id, old.user_id, -v_before, 0),
      (
        tg_op <> 'DELETE', new.id, new.user_id,
        case when v_stays then v_after - v_before else v_after end, v_after
      )
  ) change (happened, lot_id, user_id, delta, balance_after)
  where change.happened;

  return null;
end
$$;

comment on function session_approval.record_credit_entry() is
  'Writes the ledger row of a changed balance, or of a lot that was inserted, deleted or given to '
  'another person. The row takes its details from the note of the change; without a note its kind is '
  'external.';

revoke all on function session_approval.record_credit_entry() from public, anon, authenticated;

create or replace trigger session_approval_ledger
after insert or delete on public.user_credits
for each row execute function session_approval.record_credit_entry();

-- This is not "update of credits_balance", which would miss a balance that another trigger changes. It
-- has no WHEN condition, because Postgres reads that again in every statement, and the function's
-- condition only once.
create or replace trigger session_approval_ledger_change
after update on public.user_credits
for each row execute function session_approval.record_credit_entry();

comment on trigger session_approval_ledger on public.user_credits is
  'Writes a row in session_approval.credit_ledger for every lot that is inserted or deleted.';
comment on trigger session_approval_ledger_change on public.user_credits is
  'Writes a row in session_approval.credit_ledger for every changed balance.';
