-- The schema behind the doors: never exposed by PostgREST, so that only public.* functions are reachable.

create schema if not exists session_approval;

comment on schema session_approval is
  'Session approval: the rooms behind the public functions, the credit ledger, events and settings. '
  'Do not add it to the exposed schemas.';

revoke all on schema session_approval from public, anon;
-- The doors are security invoker and call a room here, so their callers must be able to look it up.
grant usage on schema session_approval to authenticated, service_role;

-- An earlier attempt left a function of the published name that fails on every call; its columns differ from
-- ours, so that it must go before ours can stand in its place.
do $$
begin
  if exists (
    select
    from pg_catalog.pg_proc f
    where f.oid = to_regprocedure('public.approve_session_and_deduct_credit(uuid, uuid)')
      and f.prorettype is distinct from to_regtype('session_approval.session_outcomes')
  ) then
    drop function public.approve_session_and_deduct_credit(uuid, uuid);
  end if;
end
$$;
