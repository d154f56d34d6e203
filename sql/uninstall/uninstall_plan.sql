-- What the uninstall would do, in order, each row with its statement. preview.sql shows the rows, and
-- uninstall.sql runs them. A row of step 0 prevents the uninstall. A row without a statement changes
-- nothing.
--
-- Columns that the install added are kept, with their values, unless the same connection has run
--   set session_approval.uninstall_columns = 'drop';
-- Columns that were there before the install are never dropped.

create or replace view session_approval.uninstall_plan as
with people as (
  select exists (select from session_approval.install_changes n where n.kind = 'view') as are_theirs
),
extension as (
  select e.oid, e.extname as name, e.extnamespace = 'session_approval'::regnamespace as is_inside
  from pg_catalog.pg_extension e
  join session_approval.install_changes n
    on n.kind = 'extension'
   and n.name = e.extname
),
members as (
  select m.classid, m.objid
  from pg_catalog.pg_depend m
  join extension e on m.refclassid = 'pg_extension'::regclass and m.refobjid = e.oid
  where m.deptype = 'e'
),
-- Every object outside our schema that depends on one of ours, or on the extension.
dependents as (
  select
    distinct d.classid, d.objid, of_extension,
    pg_describe_object(d.classid, d.objid, d.objsubid) as name
  from pg_catalog.pg_depend d
  cross join lateral (
    select exists (
      select from members m where m.classid = d.refclassid and m.objid = d.refobjid
    ) as of_extension
  ) reliance
  cross join lateral pg_identify_object(d.classid, d.objid, d.objsubid) thing
  cross join lateral pg_identify_object_as_address(d.classid, d.objid, d.objsubid) address
  where d.deptype = 'n'
    and coalesce(thing.schema, address.object_names[1]) is distinct from 'session_approval'
    and not exists (
      select from members m where m.classid = d.classid and m.objid = d.objid
    )
    and d.classid in (
      'pg_class'::regclass, 'pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_constraint'::regclass,
      'pg_attrdef'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_type'::regclass
    )
    and (
      of_extension
      or (d.refclassid = 'pg_class'::regclass and d.refobjid in (
        select c.oid from pg_catalog.pg_class c where c.relnamespace = 'session_approval'::regnamespace))
      or (d.refclassid = 'pg_proc'::regclass and d.refobjid in (
        select f.oid from pg_catalog.pg_proc f where f.pronamespace = 'session_approval'::regnamespace))
      or (d.refclassid = 'pg_proc'::regclass and d.refobjid in (
        select o.oid from session_approval.public_objects o where o.kind = 'function'))
      or (d.refclassid = 'pg_type'::regclass and d.refobjid in (
        select t.oid from pg_catalog.pg_type t where t.typnamespace = 'session_approval'::regnamespace
        union all
        select unnest(array[t.oid, t.typarray])
        from session_approval.public_objects o
        join pg_catalog.pg_type t on t.oid = o.oid and o.kind = 'type'))
    )
),
our_triggers as (
  select t.oid, t.tgname as name, t.tgrelid::regclass as on_table
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_proc f on f.oid = t.tgfoid
  where f.pronamespace = 'session_approval'::regnamespace
    and t.tgrelid in ('public.sessions'::regclass, 'public.user_credits'::regclass)
),
extension_use as (
  select e.name, e.is_inside, exists (select from dependents d where d.of_extension) as is_used
  from extension e
)

select 0 as step, 'in the way: ' || d.name || ', which relies on ours' as what, null::text as statement
from dependents d
where not d.of_extension
  and d.objid not in (
    select o.oid from session_approval.public_objects o union all select t.oid from our_triggers t
  )

union all
select 1, 'drop: function ' || o.signature, 'drop function ' || o.signature
from session_approval.public_objects o
where o.kind = 'function'

union all
select 2, 'put back: function ' || n.name || ', as it was found', n.was
from session_approval.install_changes n
where n.kind = 'function'

union all
select
  3, format('drop: trigger %I on %s', t.name, t.on_table),
  format('drop trigger %I on %s', t.name, t.on_table)
from our_triggers t

union all
select
  4, format('drop: policy %I on %I', p.policyname, p.tablename),
  format('drop policy %I on %I.%I', p.policyname, p.schemaname, p.tablename)
from pg_catalog.pg_policies p
where (p.schemaname, p.tablename, p.policyname) in (
  ('public', 'sessions', 'People see their own sessions'),
  ('public', 'user_credits', 'Clients see their own credits'),
  ('realtime', 'messages', 'People hear of their own sessions')
)

union all
select
  4, 'drop: the job session_approval_sweep of pg_cron, where there is one',
  'select cron.unschedule(j.jobid) from cron.job j where j.jobname = ''session_approval_sweep'''
where case  -- to_regprocedure fails where the schema may not be used
  when has_schema_privilege(to_regnamespace('cron')::oid, 'usage')
    then to_regprocedure('cron.unschedule(bigint)') is not null
end

union all
select
  5, format('kept: extension %I, moved to schema public: other objects use it', e.name),
  format('alter extension %I set schema public', e.name)
from extension_use e
where e.is_used
  and e.is_inside

union all
select
  6, format('drop: table session_approval.%I with its rows (%s)', c.relname,
    pg_size_pretty(pg_total_relation_size(c.oid))), null
from pg_catalog.pg_class c
where c.relnamespace = 'session_approval'::regnamespace
  and c.relkind = 'r'

union all
select 7, 'drop: schema session_approval with everything in it', step.statement
from people p
cross join lateral (
  values
    (not p.are_theirs, 'drop schema session_approval cascade'),
    (p.are_theirs, concat_ws('; ',
      'create schema session_approval_kept',
      'alter view session_approval.people set schema session_approval_kept',
      'drop schema session_approval cascade',
      'alter schema session_approval_kept rename to session_approval',
      'comment on view session_approval.people is null'))
) step (applies, statement)
where step.applies

union all
select 8, 'drop: type ' || o.signature, 'drop type ' || o.signature
from session_approval.public_objects o
where o.kind = 'type'

union all
select
  8, 'kept: view session_approval.people, which was there before the install, and its schema', null
from people p
where p.are_theirs

union all
select
  9, format('%s: extension %I', case when e.is_used then 'kept' else 'drop' end, e.name),
  case when not e.is_used then format('drop extension if exists %I', e.name) end
from extension_use e
where not (e.is_used and e.is_inside)

union all
select
  10, 'put back: comment on column ' || n.name,
  format('comment on column public.%s is %L', n.name, n.was)
from session_approval.install_changes n
where n.kind = 'comment'
  and exists (
    select
    from pg_catalog.pg_attribute a
    where a.attrelid = to_regclass('public.' || split_part(n.name, '.', 1))
      and a.attname = split_part(n.name, '.', 2)
      and pg_catalog.col_description(a.attrelid, a.attnum) is distinct from n.was
  )

union all
select 11, c.what, c.statement
from session_approval.install_changes n
cross join lateral session_approval.restored_status_check(n.name, n.was, n.became) c
where n.kind = 'check'

union all
select 12, 'drop: index ' || n.name, 'drop index public.' || n.name
from session_approval.install_changes n
where n.kind = 'index'
  and to_regclass('public.' || n.name) is not null

union all
select
  13, case when chosen.drops then 'drop: column ' else 'kept: column ' end || n.name,
  case when chosen.drops then format(
    'alter table public.%s drop column %s', split_part(n.name, '.', 1), split_part(n.name, '.', 2)) end
from session_approval.install_changes n
cross join lateral (
  select current_setting('session_approval.uninstall_columns', true) = 'drop' as drops
) chosen
where n.kind = 'column'
  and exists (
    select
    from pg_catalog.pg_attribute a
    where a.attrelid = to_regclass('public.' || split_part(n.name, '.', 1))
      and a.attname = split_part(n.name, '.', 2)
  );

revoke all on session_approval.uninstall_plan from public, anon, authenticated, service_role;

comment on view session_approval.uninstall_plan is
  'What sql/uninstall/uninstall.sql would do, by step. A row of step 0 prevents the uninstall. A row '
  'without a statement changes nothing.';
