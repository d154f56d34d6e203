-- Which functions of schema public are ours, and which types they return. The preconditions and the install
-- ask here; session_approval.entry_points is the same view for later.
--
-- An entry point has the name of its implementation in session_approval, and its body does nothing but call
-- it. A function of the application's own that calls ours and does more than that is the application's.
--
-- A temporary view, because the preconditions need it before there is a schema of ours. It goes when the
-- connection ends.

create or replace temporary view our_entry_points as
select
  f.oid,
  f.proname::text as name,
  format('public.%I(%s)', f.proname, oidvectortypes(f.proargtypes)) as signature,
  answer.oid as answer_type
from pg_catalog.pg_proc f
left join pg_catalog.pg_type answer
  on answer.oid = f.prorettype
 and answer.typnamespace = 'public'::regnamespace
 and exists (select from pg_catalog.pg_class c where c.oid = answer.typrelid and c.relkind = 'c')
where f.pronamespace = 'public'::regnamespace
  and f.prosrc ~ ('^\s*select \*\s+from session_approval\.' || f.proname || '\(');
