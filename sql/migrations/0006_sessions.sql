-- Add the columns that a session needs to be proposed, approved and paid, if the application lacks them.
-- install/our_columns.sql lists the columns. A column that is there already keeps its type and its
-- values.

do $$
declare
  v_check record;
begin
  perform session_approval.add_column('public.sessions', ours.name, ours.definition, ours.comment)
  from pg_temp.our_columns ours
  where ours.table_name = 'sessions';

  -- Add a check to a column that the install added. The check is "not valid" first, so that no row is
  -- read while other transactions wait. It is validated below, or by online/checks.sql.
  for v_check in
    select ours.name, ours.values
    from pg_temp.our_columns ours
    join session_approval.install_changes n
      on n.kind = 'column'
     and n.name = 'sessions.' || ours.name
    where ours.values is not null
      and not exists (
        select
        from pg_catalog.pg_constraint k
        where k.conrelid = 'public.sessions'::regclass
          and k.conname = ours.name || '_is_known'
      )
  loop
    perform session_approval.lock_tables('access exclusive', 'public.sessions');

    execute format(
      'alter table public.sessions add constraint %I check (%I = any (%L::text[])) not valid',
      v_check.name || '_is_known', v_check.name, v_check.values);
  end loop;

  if current_setting('session_approval.online', true) is distinct from 'on' then
    for v_check in
      select k.conname
      from pg_temp.our_columns ours
      join pg_catalog.pg_constraint k
        on k.conrelid = 'public.sessions'::regclass
       and k.conname = ours.name || '_is_known'
      where ours.values is not null
        and not k.convalidated
    loop
      execute format('alter table public.sessions validate constraint %I', v_check.conname);
    end loop;
  end if;
end
$$;
