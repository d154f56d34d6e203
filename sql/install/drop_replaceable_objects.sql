-- Functions and views hold no data and are made anew at every install: first they go, in the transaction that
-- brings them back.
--
-- An earlier attempt left a function of the published name that fails on every call; its columns differ from
-- ours, so that it must go before ours can stand in its place. How to make it again is kept.
do $$
begin
  insert into session_approval.install_changes (kind, name, was)
  select
    'function', 'public.approve_session_and_deduct_credit(uuid, uuid)',
    concat(
      pg_catalog.pg_get_functiondef(f.oid),
      format('; alter function %s owner to %s; ', signature.text, f.proowner::regrole),
      format('revoke all on function %s from public, anon, authenticated, service_role; ', signature.text),
      (
        select string_agg(
          format(
            'grant execute on function %s to %s; ', signature.text,
            case when p.grantee = 0 then 'public' else p.grantee::regrole::text end),
          ''
        )
        from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) p
        where p.grantee <> f.proowner
      ),
      format(
        'comment on function %s is %L', signature.text,
        pg_catalog.obj_description(f.oid, 'pg_proc'))
    )
  from pg_catalog.pg_proc f
  cross join (values ('public.approve_session_and_deduct_credit(uuid, uuid)')) signature (text)
  where f.oid = to_regprocedure(signature.text)
    and f.prorettype is distinct from to_regtype('session_approval.session_outcomes')
    and f.prosrc !~ 'session_approval\.approve_session_and_deduct_credit\('
  on conflict do nothing;

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
-- the doors are given again at the end (sql/install/restore_grants.sql).
do $$
declare
  v_doors constant oid[] := array(
    select f.oid
    from pg_catalog.pg_proc f
    where f.pronamespace = 'public'::regnamespace
      and f.prosrc ~ ('^\s*select \*\s+from session_approval\.' || f.proname || '\(')
  );
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
        where f.oid = any (v_doors)
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
        and (f.pronamespace = 'session_approval'::regnamespace or f.oid = any (v_doors))

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
