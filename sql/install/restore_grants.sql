-- Roles of the database's own that could call a door before this install can call it again.

do $$
declare
  v_grant jsonb;
begin
  for v_grant in
    select g.value
    from jsonb_array_elements(current_setting('session_approval.grants')::jsonb) g
    where g.value ->> 1 not in ('anon', 'authenticated', 'service_role')
      and to_regprocedure(g.value ->> 0) is not null
  loop
    execute format(
      'grant execute on function %s to %s', to_regprocedure(v_grant ->> 0), v_grant ->> 1);
  end loop;
end
$$;
