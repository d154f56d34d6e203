-- The indexes of install/our_indexes.sql, built while others write. What an interrupted build left, which
-- Postgres keeps up to date and never reads, goes first; where one is there already, nothing happens.
--
-- Nobody queues behind these, and behind what follows: they may wait, and take, as long as they need.

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
