-- The answer of get_credits.

do $$
begin
  if to_regtype('public.credits_answer') is null then
    create type public.credits_answer as (
      credits_balance integer,
      total_credits integer,
      active_credits integer,
      credits_low boolean,
      lots jsonb,
      history jsonb,
      has_more boolean
    );
  end if;
end
$$;

revoke all on type public.credits_answer from public, anon, authenticated, service_role;

comment on type public.credits_answer is
  'What a person can spend, and the changes that led to it. Units are credits.';
comment on column public.credits_answer.credits_balance is
  'The credits that can be spent now: the balance that an approval would see.';
comment on column public.credits_answer.total_credits is
  'The credits in all of the person''s lots. Older screens read it.';
comment on column public.credits_answer.active_credits is
  'The same as credits_balance. Older screens read it under this name.';
comment on column public.credits_answer.credits_low is
  'Whether credits_balance is settings.low_balance or fewer.';
comment on column public.credits_answer.lots is
  'The lots that hold credits, in the order in which they pay: id, credits_balance, expires_at, '
  'created_at, is_spendable.';
comment on column public.credits_answer.history is
  'A page of changes, latest first: id, kind, delta, balance_after, lot_id, session_id, session_title, '
  'reason, created_at.';
comment on column public.credits_answer.has_more is 'Whether there are earlier changes than these.';
