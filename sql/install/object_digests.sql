-- A digest of the definition of each object of ours, as this database has it now. An install records the
-- digests, and make doctor compares them with that record.
--
-- search_path is empty as everywhere, so that Postgres prints every name in full for every caller.

create or replace function session_approval.object_digests()
returns table (kind text, name text, digest text)
language sql
stable
security invoker
set search_path = ''
as $$
  with relations as (
    select c.oid, c.relname, c.relkind, c.relacl, c.relowner
    from pg_catalog.pg_class c
    where c.relnamespace = 'session_approval'::regnamespace
      and c.relkind in ('r', 'v')
  ),
  functions as (
    select
      f.oid, f.oid::regprocedure::text as signature, f.proacl, f.proowner
    from pg_catalog.pg_proc f
    where (
        f.pronamespace = 'session_approval'::regnamespace
        or f.oid in (select o.oid from session_approval.public_objects o where o.kind = 'function')
      )
      and not exists (
        select from pg_catalog.pg_depend d where d.objid = f.oid and d.deptype = 'e'
      )
  ),
  types as (
    select o.signature as name, t.typrelid, t.typacl, t.typowner
    from session_approval.public_objects o
    join pg_catalog.pg_type t on t.oid = o.oid and o.kind = 'type'
  ),
  things (kind, name, definition) as (
    select 'function', f.signature, pg_get_functiondef(f.oid)
    from functions f

    union all
    select 'view', r.relname::text, pg_get_viewdef(r.oid)
    from relations r
    where r.relkind = 'v'

    union all
    select
      'type', t.name,
      string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ',' order by a.attnum)
    from types t
    join pg_catalog.pg_attribute a on a.attrelid = t.typrelid and not a.attisdropped
    group by t.name

    union all
    select 'constraint', format('%s on %s', k.conname, k.conrelid::regclass), pg_get_constraintdef(k.oid)
    from pg_catalog.pg_constraint k
    where k.conrelid in (select r.oid from relations r)
      and k.contype <> 'n'

    union all
    select 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
    from pg_catalog.pg_index i
    where i.indrelid in (select r.oid from relations r)
      or i.indexrelid in (
        select to_regclass('public.' || n.name)
        from session_approval.install_changes n
        where n.kind = 'index'
      )

    union all
    select 'trigger', format('%s on %s', t.tgname, t.tgrelid::regclass), pg_get_triggerdef(t.oid)
    from pg_catalog.pg_trigger t
    where t.tgfoid in (select f.oid from functions f)

    union all
    select
      'grants', acls.name,
      (
        select string_agg(
          format('%s %s', a.grantee::regrole, a.privilege_type), ','
          order by a.grantee::regrole::text, a.privilege_type)
        from aclexplode(acls.acl) a
      )
    from (
      select f.signature, coalesce(f.proacl, acldefault('f', f.proowner)) from functions f
      union all
      select r.relname, coalesce(r.relacl, acldefault('r', r.relowner)) from relations r
      union all
      select t.name, coalesce(t.typacl, acldefault('T', t.typowner)) from types t
    ) acls (name, acl)
  )
  select t.kind, t.name, md5(t.definition)
  from things t
$$;

comment on function session_approval.object_digests() is
  'Every function, view, type, constraint, index, trigger and grant of ours, each with a digest.';

revoke all on function session_approval.object_digests() from public, anon, authenticated;
