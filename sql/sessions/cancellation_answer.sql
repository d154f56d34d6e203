-- The answer of preview_cancellation.

do $$
begin
  if to_regtype('public.cancellation_answer') is null then
    create type public.cancellation_answer as (
      refundable boolean,
      free_until timestamptz,
      reason text
    );
  end if;
end
$$;

revoke all on type public.cancellation_answer from public, anon, authenticated, service_role;

comment on type public.cancellation_answer is 'What cancelling a session now would mean for its credit.';
comment on column public.cancellation_answer.refundable is 'Whether the credit would go back.';
comment on column public.cancellation_answer.free_until is
  'Until when the client gets the credit back; null when the time does not matter.';
comment on column public.cancellation_answer.reason is
  'Why the credit would go back or not, in a sentence.';
