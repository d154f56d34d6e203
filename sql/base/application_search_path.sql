-- The search path under which the application's own triggers run: settings.application_search_path, without
-- schemas that are not there, and without those in which somebody else may create objects. There, a function
-- or an operator of the same name would run with our owner's rights.
--
-- pg_temp stands last: a path that does not name it looks there first.

create or replace function session_approval.application_search_path()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select concat_ws(', ', string_agg(quote_ident(n.nspname), ', ' order by named.place), 'pg_temp')
  from session_approval.settings settings
  cross join lateral unnest(
    string_to_array(replace(settings.application_search_path, ' ', ''), ',')
  ) with ordinality named (name, place)
  join pg_catalog.pg_namespace n on n.nspname = btrim(named.name, '"')
  where not exists (
    select
    from aclexplode(n.nspacl) granted
    left join pg_catalog.pg_roles r on r.oid = granted.grantee
    where granted.privilege_type = 'CREATE'
      and granted.grantee <> n.nspowner
      and r.rolsuper is not true
      and r.rolname is distinct from current_user
  )
$$;

comment on function session_approval.application_search_path() is
  'The search path for the application''s triggers: settings.application_search_path without schemas that '
  'are missing, or in which other roles may create objects.';

revoke all on function session_approval.application_search_path() from public, anon, authenticated;
