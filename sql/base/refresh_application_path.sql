-- Write down the search_path for the application's own triggers as it is now (trusted_search_path).
--
-- Caller: the install, the sweep, and the trigger of the settings. Where a schema's grants have changed and
-- nobody has called this yet, every statement works the path out for itself, which is right and takes longer.

create or replace function session_approval.refresh_application_path()
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into session_approval.application_path as a (path, schemas, versions)
  select t.path, t.schemas, t.versions
  from session_approval.trusted_search_path() t
  where not exists (
    select
    from session_approval.application_path known
    where (known.path, known.schemas, known.versions) = (t.path, t.schemas, t.versions)
  )
  on conflict (only_row) do update
  set path = excluded.path, schemas = excluded.schemas, versions = excluded.versions
$$;

comment on function session_approval.refresh_application_path() is
  'Write down the search_path for the application''s own triggers as it is now.';

revoke all on function session_approval.refresh_application_path() from public, anon, authenticated;
