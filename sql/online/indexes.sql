-- Build the indexes of install/our_indexes.sql while other transactions write. An interrupted build
-- leaves an index that Postgres updates but never reads; such an index is dropped first. An index that
-- is there already is left alone.
--
-- No other transaction queues behind these statements or the ones that follow. So they have no time
-- limit.

set lock_timeout = 0;
set statement_timeout = 0;

select format('drop index concurrently public.%I', n.name)
from session_approval.install_changes n
join pg_catalog.pg_index i on i.indexrelid = to_regclass('public.' || n.name)
where n.kind = 'index'
  and not i.indisvalid
\gexec

select format(
  'create %s index concurrently if not exists %I on public.%I %s',
  case when ours.is_unique then 'unique' else '' end, ours.name, ours.table_name, ours.definition)
from pg_temp.our_indexes ours
\gexec
