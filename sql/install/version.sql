-- The number of this release. It is written here and nowhere else: make bundle and make doctor read it
-- here.

create or replace function session_approval.version()
returns text
language sql
immutable
security invoker
set search_path = ''
as $$ select '0.1.0' $$;

comment on function session_approval.version() is 'The release that was installed last.';

revoke all on function session_approval.version() from public, anon, authenticated, service_role;
grant execute on function session_approval.version() to service_role;
