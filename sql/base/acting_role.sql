-- The database role of the request. Inside a security definer function current_user is the function's
-- owner, so this function reads the setting "role", which SET ROLE changes. PostgREST uses SET ROLE.

create or replace function session_approval.acting_role()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case current_setting('role')
    when 'none' then session_user::text
    else current_setting('role')
  end
$$;

comment on function session_approval.acting_role() is
  'The role of the request: anon, authenticated, service_role, or the role of an operator.';

revoke all on function session_approval.acting_role() from public, anon, authenticated;
