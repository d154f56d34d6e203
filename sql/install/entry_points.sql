-- The functions of schema public that are ours, and the types that they return: for the record of an install,
-- and for taking the product out. It is defined in our_entry_points.sql.

do $$
begin
  execute 'create or replace view session_approval.entry_points as '
    || pg_get_viewdef('pg_temp.our_entry_points'::regclass);
end
$$;

revoke all on session_approval.entry_points from public, anon, authenticated, service_role;

comment on view session_approval.entry_points is
  'The functions in schema public that belong to session approval, and the composite types that they return.';
