-- The database role that the request came in as, also inside a security definer function, where
-- current_user is the function's owner. SET ROLE, which PostgREST uses, is visible in the setting "role".

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
  'The role of the request: anon, authenticated, service_role, or an operator''s own.';

revoke all on function session_approval.acting_role() from public, anon, authenticated;
