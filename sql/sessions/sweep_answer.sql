-- The answer of sweep_sessions.

do $$
begin
  if to_regtype('public.sweep_answer') is null then
    create type public.sweep_answer as (
      sessions_expired integer,
      lots_expired integer,
      sessions_closed integer
    );
  end if;
end
$$;

revoke all on type public.sweep_answer from public, anon, authenticated, service_role;

comment on type public.sweep_answer is
  'How many sessions and lots a sweep ended; 500 of a kind means that there may be more.';
comment on column public.sweep_answer.sessions_expired is 'Proposals that were not answered in time.';
comment on column public.sweep_answer.lots_expired is 'Lots whose credits were written off.';
comment on column public.sweep_answer.sessions_closed is 'Approved sessions whose end had passed.';
