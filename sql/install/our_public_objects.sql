-- Our objects in schema public: the entry points, and the composite types that they return. The
-- preconditions and the install read this view. session_approval.public_objects is the same view for
-- later.
--
-- An entry point has the name of its implementation in session_approval, and its body only calls that. A
-- function that calls one of ours and does more than that belongs to the application.
-- A type is ours if an implementation returns it.
--
-- This is a temporary view, because the preconditions need it before our schema exists. It goes when the
-- connection ends.

create or replace temporary view our_public_objects as
select
  'function' as kind,
  f.oid,
  f.proname::text as name,
  format('public.%I(%s)', f.proname, oidvectortypes(f.proargtypes)) as signature
from pg_catalog.pg_proc f
where f.pronamespace = 'public'::regnamespace
  and f.prosrc ~ ('^\s*select \*\s+from session_approval\.' || f.proname || '\(')

union all
select 'type', t.oid, t.typname::text, format('public.%I', t.typname)
from pg_catalog.pg_type t
join pg_catalog.pg_class c on c.oid = t.typrelid and c.relkind = 'c'
where t.typnamespace = 'public'::regnamespace
  and exists (
    select
    from pg_catalog.pg_proc f
    where f.pronamespace = to_regnamespace('session_approval')
      and f.prorettype = t.oid
  );
