-- Adds credits that were bought or given. Payment webhooks and operators call it.
--
-- Caller: service_role, or the owner. Changes: one lot, one ledger row.
-- Locks: the reference, then the lot.
-- One source and one reference make one grant. A repeated call gets the same answer and adds nothing.
-- Its expiry and its reason may differ, because the caller may compute them again for each call.
-- An account that is not active gets its credits too, because the money has been paid.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 404 PERSON_NOT_FOUND,
-- 422 IDEMPOTENCY_CONFLICT (same source and reference, other person or amount).

create or replace function session_approval.grant_credits(
  p_user_id uuid,
  p_amount integer,
  p_source text,
  p_reference text,
  p_expires_at timestamptz,
  p_reason text
)
returns setof public.grant_answer
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_source constant text := btrim(p_source);
  v_reference constant text := btrim(p_reference);
  v_problems jsonb;
  v_entry record;
  v_lot_id uuid;
begin
  -- Two grants with the same reference run one after the other. The lock belongs to the transaction, so
  -- that it also works through a connection pooler.
  perform pg_advisory_xact_lock(
    hashtextextended('session_approval.grant_credits:' || v_source || ':' || v_reference, 0));

  select e.lot_id, e.user_id, e.delta
  into v_entry
  from session_approval.credit_ledger e
  where e.source = v_source
    and e.reference = v_reference
    and e.kind = 'grant';

  if not found then
    v_problems := jsonb_strip_nulls(jsonb_build_object(
      'amount', case
        when (p_amount between 1 and 100000) is not true then 'must be 1 to 100000 credits'
      end,
      'source', case
        when (length(v_source) between 1 and 200) is not true then 'must be 1 to 200 characters'
      end,
      'reference', case
        when (length(v_reference) between 1 and 200) is not true
          then 'must be 1 to 200 characters'
      end,
      'expires_at', case when p_expires_at <= now() then 'must be in the future' end
    ));
    if v_problems <> '{}' then
      perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The grant is not valid', v_problems);
    end if;

    perform from session_approval.people p where p.id = p_user_id;
    if not found then
      perform session_approval.refuse(404, 'PERSON_NOT_FOUND', 'There is no such person');
    end if;

    v_lot_id := session_approval.add_credits(
      p_user_id, p_amount, p_expires_at, jsonb_build_object(
        'kind', 'grant', 'actor_id', auth.uid(), 'reason', p_reason, 'source', v_source,
        'reference', v_reference));
  elsif (v_entry.user_id, v_entry.delta) is distinct from (p_user_id, p_amount) then
    perform session_approval.refuse(
      422, 'IDEMPOTENCY_CONFLICT', 'This reference was used for another grant');
  end if;

  return query
  select
    coalesce(v_lot_id, v_entry.lot_id), p_amount, l.expires_at,
    session_approval.spendable_balance(p_user_id), v_lot_id is null
  from (select) as one_row
  left join public.user_credits l on l.id = coalesce(v_lot_id, v_entry.lot_id);
end
$$;

create or replace function public.grant_credits(
  p_user_id uuid,
  p_amount integer,
  p_source text,
  p_reference text,
  p_expires_at timestamptz default null,
  p_reason text default null
)
returns setof public.grant_answer
language sql
volatile
security invoker
set search_path = ''
as $$
  select *
  from session_approval.grant_credits(
    p_user_id, p_amount, p_source, p_reference, p_expires_at, p_reason)
$$;

comment on function public.grant_credits(uuid, integer, text, text, timestamptz, text) is
  'Add credits that were bought or given to a person''s wallet, once per source and reference; safe to '
  'repeat. For service_role. Refuses with 400, 404, 422.';
comment on function session_approval.grant_credits(uuid, integer, text, text, timestamptz, text) is
  'The implementation of public.grant_credits.';

revoke all on function public.grant_credits(uuid, integer, text, text, timestamptz, text)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.grant_credits(uuid, integer, text, text, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.grant_credits(uuid, integer, text, text, timestamptz, text)
  to service_role;
grant execute on function session_approval.grant_credits(uuid, integer, text, text, timestamptz, text)
  to service_role;
