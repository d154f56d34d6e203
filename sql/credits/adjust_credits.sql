-- Corrects the balance of one lot. The ledger keeps the reason and the person who is responsible.
--
-- Caller: service_role, or the owner. Changes: one lot, one ledger row. Locks: the lot.
-- A correction downwards never takes a lot below zero.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 404 LOT_NOT_FOUND,
-- 409 CREDITS_BELOW_ZERO (details: credits_balance).

create or replace function session_approval.adjust_credits(
  p_lot_id uuid,
  p_delta integer,
  p_reason text,
  p_actor_id uuid
)
returns setof public.adjustment_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_problems jsonb := jsonb_strip_nulls(jsonb_build_object(
    'delta', case
      when coalesce(p_delta, 0) = 0 then 'must be the credits to add, or to take when negative'
    end,
    'reason', case
      when (length(btrim(p_reason)) between 1 and 1000) is not true
        then 'must be 1 to 1000 characters'
    end,
    'actor_id', case
      when not exists (select from session_approval.people p where p.id = p_actor_id)
        then 'must be the id of a person'
    end
  ));
  v_balance integer;
begin
  if v_problems <> '{}' then
    perform session_approval.refuse(
      400, 'VALIDATION_ERROR', 'The adjustment is not valid', v_problems);
  end if;

  select coalesce(l.credits_balance, 0)
  into v_balance
  from public.user_credits l
  where l.id = p_lot_id
  for no key update;

  if not found then
    perform session_approval.refuse(404, 'LOT_NOT_FOUND', 'There is no such lot');
  elsif p_delta < 0 and v_balance + p_delta < 0 then
    perform session_approval.refuse(
      409, 'CREDITS_BELOW_ZERO', 'The lot does not have that many credits',
      jsonb_build_object('credits_balance', v_balance));
  end if;

  perform session_approval.note_credit_entry(jsonb_build_object(
    'kind', 'external', 'actor_id', p_actor_id, 'reason', p_reason, 'source', 'adjust_credits'));

  return query
  update public.user_credits l
  set credits_balance = v_balance + p_delta
  where l.id = p_lot_id
  returning l.id, l.user_id, l.credits_balance::integer;
end
$$;

create or replace function public.adjust_credits(
  p_lot_id uuid,
  p_delta integer,
  p_reason text,
  p_actor_id uuid
)
returns setof public.adjustment_answer
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.adjust_credits(p_lot_id, p_delta, p_reason, p_actor_id) $$;

comment on function public.adjust_credits(uuid, integer, text, uuid) is
  'Add credits to a lot, or take credits from it, to correct its balance, with a reason and the person '
  'who is responsible. For service_role. Refuses with 400, 404, 409.';
comment on function session_approval.adjust_credits(uuid, integer, text, uuid) is
  'The implementation of public.adjust_credits.';

revoke all on function public.adjust_credits(uuid, integer, text, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.adjust_credits(uuid, integer, text, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.adjust_credits(uuid, integer, text, uuid) to service_role;
grant execute on function session_approval.adjust_credits(uuid, integer, text, uuid) to service_role;
