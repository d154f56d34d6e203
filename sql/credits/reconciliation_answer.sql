-- One problem that reconcile_credits found.

do $$
begin
  if to_regtype('public.reconciliation_answer') is null then
    create type public.reconciliation_answer as (
      problem text,
      lot_id uuid,
      user_id uuid,
      session_id uuid,
      expected integer,
      found integer
    );
  end if;
end
$$;

revoke all on type public.reconciliation_answer from public, anon, authenticated, service_role;

comment on type public.reconciliation_answer is
  'Something that does not add up between lots, ledger and sessions.';
comment on column public.reconciliation_answer.problem is 'What is wrong, in a sentence.';
comment on column public.reconciliation_answer.lot_id is 'The lot with the problem, if any.';
comment on column public.reconciliation_answer.user_id is 'The person concerned, if any.';
comment on column public.reconciliation_answer.session_id is 'The session with the problem, if any.';
comment on column public.reconciliation_answer.expected is 'How many credits or debits there should be.';
comment on column public.reconciliation_answer.found is 'How many there are.';
