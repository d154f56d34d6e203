-- The answer of grant_credits.

do $$
begin
  if to_regtype('public.grant_answer') is null then
    create type public.grant_answer as (
      lot_id uuid,
      credits_granted integer,
      expires_at timestamptz,
      credits_balance integer,
      already_granted boolean
    );
  end if;
end
$$;

revoke all on type public.grant_answer from public, anon, authenticated, service_role;

comment on type public.grant_answer is 'The result of a grant. Units are credits.';
comment on column public.grant_answer.lot_id is 'The lot that holds the credits.';
comment on column public.grant_answer.credits_granted is 'How many credits the grant added.';
comment on column public.grant_answer.expires_at is 'When the lot stops paying; null if it never does.';
comment on column public.grant_answer.credits_balance is 'What the person can spend now.';
comment on column public.grant_answer.already_granted is
  'Whether this call repeats an earlier grant. If so, it added nothing.';
