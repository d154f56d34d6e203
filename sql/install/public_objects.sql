-- Our objects in schema public. The record of an install and the uninstall read this view. Its
-- definition is in our_public_objects.sql.

do $$
begin
  execute 'create or replace view session_approval.public_objects as '
    || pg_get_viewdef('pg_temp.our_public_objects'::regclass);
end
$$;

revoke all on session_approval.public_objects from public, anon, authenticated, service_role;

comment on view session_approval.public_objects is
  'The functions and composite types in schema public that belong to session approval.';
