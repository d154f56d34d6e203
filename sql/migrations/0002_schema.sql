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

-- What holds no data is made anew at every install, for its shape may have changed since the last one: a
-- function cannot be given another result, nor a view another column in its middle. What something of the
-- database's own depends on is left standing, and replaced where it stands. Grants of the database's own on
-- the doors are given again at the end (sql/regrant.sql).
do $$
declare
  v_what text;
  v_dropped boolean;
begin
  perform set_config(
    'session_approval.grants',
    coalesce(
      (
        select jsonb_agg(jsonb_build_array(f.oid::regprocedure::text, a.grantee::regrole::text))
        from pg_catalog.pg_proc f
        cross join lateral aclexplode(f.proacl) a
        where f.pronamespace = 'public'::regnamespace
          and strpos(f.prosrc, 'session_approval.' || f.proname || '(') > 0
          and a.grantee <> 0
          and a.grantee <> f.proowner
      )::text,
      '[]'),
    false);

  loop
    v_dropped := false;

    for v_what in
      select 'function ' || f.oid::regprocedure
      from pg_catalog.pg_proc f
      where f.prorettype <> 'trigger'::regtype
        and (
          f.pronamespace = 'session_approval'::regnamespace
          or (
            f.pronamespace = 'public'::regnamespace
            and strpos(f.prosrc, 'session_approval.' || f.proname || '(') > 0
          )
        )

      union all

      select 'view ' || c.oid::regclass
      from pg_catalog.pg_class c
      where c.relnamespace = 'session_approval'::regnamespace
        and c.relkind = 'v'
        and c.relname <> 'people'
    loop
      begin
        execute 'drop ' || v_what;
        v_dropped := true;
      exception
        when dependent_objects_still_exist then null;
      end;
    end loop;

    exit when not v_dropped;
  end loop;
end
$$;
