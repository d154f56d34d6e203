-- Checks that migrations/0012_status_checks.sql widened for new rows alone are held against the rows that are
-- there: one look at each, while others write.

select format('alter table public.sessions validate constraint %I', k.conname)
from session_approval.install_changes n
join pg_catalog.pg_constraint k
  on k.conrelid = 'public.sessions'::regclass
 and k.conname = n.name
where n.kind = 'check'
  and pg_catalog.pg_get_constraintdef(k.oid) = n.became || ' NOT VALID'
\gexec
