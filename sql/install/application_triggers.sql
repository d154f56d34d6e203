-- The application's own triggers on sessions and user_credits: the search_path for them is written down, and
-- what will not work inside our functions is said.

do $$
declare
  v_warning text;
begin
  perform session_approval.refresh_application_path();

  for v_warning in
    with theirs as (
      select t.tgname, t.tgrelid, t.tgtype & 1 = 1 as is_for_rows, t.tgtype & 2 = 2 as is_before
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc f on f.oid = t.tgfoid
      where t.tgrelid in ('public.sessions'::regclass, 'public.user_credits'::regclass)
        and not t.tgisinternal
        and f.pronamespace <> 'session_approval'::regnamespace
    )
    select format(
      'trigger %I on %s sorts outside of ours, so that inside our functions it finds an empty search_path: '
      'alter trigger %1$I on %2$s rename to ...', theirs.tgname, theirs.tgrelid::regclass)
    from theirs
    where not theirs.is_for_rows
      and case when theirs.is_before
        then theirs.tgname < '!session_approval_switch'
        else theirs.tgname > '~session_approval_switch' end

    union all

    select format(
      'a role other than its owner can create in schema %I: triggers of yours on sessions and user_credits '
      'do not find what is in it inside our functions. Revoke that (revoke create on schema %1$I from ...), '
      'or name the schema in them: alter function ... set search_path = %1$I', n.nspname)
    from session_approval.settings settings
    cross join lateral unnest(string_to_array(settings.application_search_path, ',')) wanted (name)
    join pg_catalog.pg_namespace n on n.nspname = (parse_ident(btrim(wanted.name)))[1]
    where n.oid <> all ((select a.schemas from session_approval.application_path a)::oid[])
      and exists (select from theirs)
  loop
    raise warning '%', v_warning;
  end loop;
end
$$;
