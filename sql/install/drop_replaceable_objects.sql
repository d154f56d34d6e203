-- Functions, views and the composite types that the entry points return hold no data. Every install
-- drops them and makes them again, in one transaction.
--
-- An earlier attempt left a function with the published name, and that function fails on every call. It
-- returns other columns than ours, so it is dropped before ours is made. The statements that make the
-- old function again are kept for the uninstall.
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
    and f.prorettype is distinct from to_regtype('public.session_answer')
    and f.prosrc !~ 'session_approval\.approve_session_and_deduct_credit\('
  on conflict do nothing;

  if exists (
    select
    from pg_catalog.pg_proc f
    where f.oid = to_regprocedure('public.approve_session_and_deduct_credit(uuid, uuid)')
      and f.prorettype is distinct from to_regtype('public.session_answer')
  ) then
    drop function public.approve_session_and_deduct_credit(uuid, uuid);
  end if;
end
$$;

-- Our objects are dropped first, because their shape may have changed since the last install: "create or
-- replace" cannot change a function's result, or add a column in the middle of a view.
--
-- If an object of the application depends on one of ours, ours is not dropped: it is replaced in place.
--
-- Other roles of this database may have grants on entry points. They get these grants again at the end,
-- by the function's name, because its parameters may have changed (sql/install/restore_grants.sql).
do $$
declare
  -- Listed before anything is dropped: a type is ours because one of our functions returns it.
  v_public constant jsonb := (
    select coalesce(jsonb_agg(to_jsonb(o)), '[]') from pg_temp.our_public_objects o
  );
  v_what text;
  v_dropped boolean;
begin
  perform set_config(
    'session_approval.grants',
    coalesce(
      (
        select jsonb_agg(jsonb_build_array(f.proname, a.grantee::regrole::text))
        from pg_temp.our_public_objects o
        join pg_catalog.pg_proc f on f.oid = o.oid and o.kind = 'function'
        cross join lateral aclexplode(f.proacl) a
        where a.grantee <> 0
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
        and f.pronamespace = 'session_approval'::regnamespace

      union all

      select 'view ' || c.oid::regclass
      from pg_catalog.pg_class c
      where c.relnamespace = 'session_approval'::regnamespace
        and c.relkind = 'v'
        and c.relname <> 'people'

      union all

      select format('%s %s', o.value ->> 'kind', o.value ->> 'signature')
      from jsonb_array_elements(v_public) o
      where case o.value ->> 'kind'
        when 'function' then to_regprocedure(o.value ->> 'signature') is not null
        else to_regtype(o.value ->> 'signature') is not null
      end
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
