-- The search_path under which triggers of the application's own may run inside our functions, as of now: the
-- schemas of settings.application_search_path that exist, without those in which somebody could plant a
-- function or an operator that such a trigger would then call with the rights of our functions' owner.
--
-- Trusted to create in a schema are its owner, superusers, our functions' owner and who is a member of it. So
-- is Supabase's dashboard_user, to which every project grants all on the schema extensions, as long as nobody
-- can log in as it. Temporary objects come last: unless it is named, Postgres looks there first.

create or replace function session_approval.trusted_search_path(
  out path text,
  out schemas oid[],
  out versions xid[]
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    coalesce(string_agg(quote_ident(n.nspname), ', ' order by wanted.place) || ', ', '') || 'pg_temp',
    coalesce(array_agg(n.oid order by wanted.place), '{}'),
    coalesce(array_agg(n.xmin order by wanted.place), '{}')
  from session_approval.settings settings
  cross join lateral unnest(string_to_array(settings.application_search_path, ','))
    with ordinality wanted (name, place)
  join pg_catalog.pg_namespace n on n.nspname = (parse_ident(btrim(wanted.name)))[1]
  where not exists (
    select
    from aclexplode(n.nspacl) a
    left join pg_catalog.pg_roles r on r.oid = a.grantee
    where a.privilege_type = 'CREATE'
      and a.grantee <> n.nspowner
      and (
        r.oid is null  -- everybody
        or not (
          r.rolsuper
          or pg_has_role(r.oid, current_user, 'member')
          or (r.rolname = 'dashboard_user' and not r.rolcanlogin)
        )
      )
  )
$$;

comment on function session_approval.trusted_search_path() is
  'The search_path for the application''s own triggers: the schemas of settings.application_search_path that '
  'exist and in which only trusted roles can create.';

revoke all on function session_approval.trusted_search_path() from public, anon, authenticated;
