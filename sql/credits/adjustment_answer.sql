-- The answer of adjust_credits.

do $$
begin
  if to_regtype('public.adjustment_answer') is null then
    create type public.adjustment_answer as (
      lot_id uuid,
      user_id uuid,
      credits_balance integer
    );
  end if;
end
$$;

revoke all on type public.adjustment_answer from public, anon, authenticated, service_role;

comment on type public.adjustment_answer is 'A lot after its balance was corrected.';
comment on column public.adjustment_answer.lot_id is 'The lot.';
comment on column public.adjustment_answer.user_id is 'The person who owns the lot.';
comment on column public.adjustment_answer.credits_balance is 'How many credits the lot holds now.';
