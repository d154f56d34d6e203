-- Every change of a balance leaves its row in the ledger: by our functions, by the application's own updates,
-- by a DBA, by a lot that appears or goes.
--
-- Our functions say beforehand what the change is for (note_credit_entry). A change without a note is
-- 'external': its actor is the token's subject if there is one, its source the database role.

create or replace function session_approval.write_credit_entry(
  p_lot_id uuid,
  p_user_id uuid,
  p_delta integer,
  p_balance_after integer
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_note jsonb := nullif(current_setting('session_approval.credit_entry', true), '')::jsonb;
begin
  if v_note is null then
    v_note := jsonb_build_object(
      'kind', 'external', 'actor_id', auth.uid(), 'source', session_approval.acting_role());
  else
    perform set_config('session_approval.credit_entry', '', true);
  end if;

  insert into session_approval.credit_ledger (
    lot_id, user_id, session_id, kind, delta, balance_after, actor_id, reason, source, reference
  )
  values (
    p_lot_id, p_user_id, (v_note ->> 'session_id')::uuid, v_note ->> 'kind', p_delta,
    p_balance_after, (v_note ->> 'actor_id')::uuid, v_note ->> 'reason', v_note ->> 'source',
    v_note ->> 'reference'
  );
end
$$;

create or replace function session_approval.record_credit_entry()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before constant integer := coalesce(old.credits_balance, 0)::integer;
  v_after constant integer := coalesce(new.credits_balance, 0)::integer;
begin
  if tg_op = 'UPDATE' and (old.id, old.user_id) is not distinct from (new.id, new.user_id) then
    perform session_approval.write_credit_entry(
      new.id, new.user_id, v_after - v_before, v_after);
    return null;
  end if;

  -- A lot that changes hands leaves one wallet and enters another.
  if tg_op in ('UPDATE', 'DELETE') then
    perform session_approval.write_credit_entry(old.id, old.user_id, -v_before, 0);
  end if;

  if tg_op in ('UPDATE', 'INSERT') then
    perform session_approval.write_credit_entry(new.id, new.user_id, v_after, v_after);
  end if;

  return null;
end
$$;

create or replace function session_approval.record_truncated_credits()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform session_approval.write_credit_entry(
    l.id, l.user_id, -coalesce(l.credits_balance, 0)::integer, 0)
  from public.user_credits l
  order by l.id;

  return null;
end
$$;

comment on function session_approval.write_credit_entry(uuid, uuid, integer, integer) is
  'Writes one row of the ledger, under the note that the change was given, or as external.';
comment on function session_approval.record_credit_entry() is
  'Writes the ledger row of a changed balance, or of a lot that appeared, went or changed hands.';
comment on function session_approval.record_truncated_credits() is
  'Writes a ledger row for every lot that a TRUNCATE is about to remove.';

revoke all on function session_approval.write_credit_entry(uuid, uuid, integer, integer)
  from public, anon, authenticated;
revoke all on function session_approval.record_credit_entry() from public, anon, authenticated;
revoke all on function session_approval.record_truncated_credits() from public, anon, authenticated;

drop trigger if exists session_approval_ledger on public.user_credits;
create trigger session_approval_ledger
after insert or delete on public.user_credits
for each row execute function session_approval.record_credit_entry();

-- Not "update of credits_balance": that would miss a balance that another trigger changes.
drop trigger if exists session_approval_ledger_change on public.user_credits;
create trigger session_approval_ledger_change
after update on public.user_credits
for each row
when (
  (old.id, old.user_id, old.credits_balance) is distinct from (new.id, new.user_id, new.credits_balance)
)
execute function session_approval.record_credit_entry();

drop trigger if exists session_approval_ledger_truncate on public.user_credits;
create trigger session_approval_ledger_truncate
before truncate on public.user_credits
for each statement execute function session_approval.record_truncated_credits();

comment on trigger session_approval_ledger on public.user_credits is
  'A lot that appears or goes leaves a row in session_approval.credit_ledger.';
comment on trigger session_approval_ledger_change on public.user_credits is
  'Every changed balance leaves a row in session_approval.credit_ledger.';
comment on trigger session_approval_ledger_truncate on public.user_credits is
  'Lots removed by TRUNCATE leave their rows in session_approval.credit_ledger.';

-- The lots found at install get their opening rows; creating the triggers above has locked out every writer
-- until this transaction ends, so that no change falls between the two.
insert into session_approval.credit_ledger (lot_id, user_id, kind, delta, balance_after)
select
  l.id, l.user_id, 'opening', found.credits, found.credits
from public.user_credits l
cross join lateral (select coalesce(l.credits_balance, 0)::integer as credits) found
where not exists (
  select from session_approval.credit_ledger e where e.lot_id = l.id
)
order by l.created_at, l.id;
