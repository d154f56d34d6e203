-- The indexes on the application's tables that the functions need (install/our_indexes.sql). This file
-- builds the missing ones, and writers wait. sql/online builds the same indexes before this, and no
-- writer waits. ("create index if not exists" would lock writers out even if the index is there.)

do $$
declare
  v_unfinished text;
  v_index record;
begin
  -- Drop the incomplete indexes that an interrupted "create index concurrently" of ours left.
  for v_unfinished in
    select n.name
    from session_approval.install_changes n
    join pg_catalog.pg_index i on i.indexrelid = to_regclass('public.' || n.name)
    where n.kind = 'index'
      and not i.indisvalid
  loop
    execute format('drop index public.%I', v_unfinished);
  end loop;

  for v_index in
    select ours.name, case when ours.is_unique then 'unique' else '' end as uniqueness, ours.table_name,
      ours.definition
    from pg_temp.our_indexes ours
    where to_regclass('public.' || ours.name) is null
  loop
    execute format(
      'create %s index %I on public.%I %s',
      v_index.uniqueness, v_index.name, v_index.table_name, v_index.definition);
  end loop;
end
$$;
