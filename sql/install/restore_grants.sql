-- Other roles of this database that could call an entry point before this install can call it again.

do $$
declare
  v_grant record;
begin
  for v_grant in
    select o.signature, g.value ->> 1 as role
    from jsonb_array_elements(current_setting('session_approval.grants')::jsonb) g
    join session_approval.public_objects o on o.kind = 'function' and o.name = g.value ->> 0
    where g.value ->> 1 not in ('anon', 'authenticated', 'service_role')
  loop
    execute format('grant execute on function %s to %s', v_grant.signature, v_grant.role);
  end loop;
end
$$;
