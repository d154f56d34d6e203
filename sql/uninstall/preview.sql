-- Show what sql/uninstall/uninstall.sql would do to this database, in order. It changes nothing.
-- psql -X -d "$DATABASE_URL" -f sql/uninstall/preview.sql
--
-- To see the plan that also drops the columns that the install added, run this first:
--   set session_approval.uninstall_columns = 'drop';

select p.step, p.what
from session_approval.uninstall_plan p
order by p.step, p.what;
