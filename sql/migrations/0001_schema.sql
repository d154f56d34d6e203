-- The schema behind the doors: never exposed by PostgREST, so that only public.* functions are reachable.

create schema if not exists session_approval;

comment on schema session_approval is
  'Session approval: the rooms behind the public functions, the credit ledger, events and settings. '
  'Do not add it to the exposed schemas.';

revoke all on schema session_approval from public, anon;
-- The doors are security invoker and call a room here, so their callers must be able to look it up.
grant usage on schema session_approval to authenticated, service_role;

-- What the install changes in what it finds is written down first, so that sql/uninstall can put it back:
-- a name of ours that is taken already belongs to the application, and is never dropped.
create table if not exists session_approval.install_changes (
  kind text,
  name text,
  was text,
  became text,
  constraint rollback_notes_pkey primary key (kind, name),
  constraint kind_is_known check (
    kind in ('column', 'index', 'comment', 'check', 'function', 'view', 'extension')
  )
);

revoke all on session_approval.install_changes from public, anon, authenticated, service_role;

comment on table session_approval.install_changes is
  'What the install added to the application''s tables, and what it replaced: read by uninstall_plan.';
comment on column session_approval.install_changes.kind is
  'column, index, extension: added by the install. comment, check, function: replaced. view: found, and '
  'left as it was.';
comment on column session_approval.install_changes.name is 'Of what it is about.';
comment on column session_approval.install_changes.was is
  'What was there: a comment''s text, a check''s expression, the statements that make a function.';
comment on column session_approval.install_changes.became is 'A check''s definition since then.';

insert into session_approval.install_changes (kind, name)
select 'column', ours.table_name || '.' || ours.name
from pg_temp.our_columns ours
where not exists (
  select
  from pg_catalog.pg_attribute a
  where a.attrelid = ('public.' || ours.table_name)::regclass
    and a.attname = ours.name
)
on conflict do nothing;

insert into session_approval.install_changes (kind, name)
select 'index', ours.name
from pg_temp.our_indexes ours
where to_regclass('public.' || ours.name) is null
on conflict do nothing;

-- Comments that the migrations write over, of columns that were there.
insert into session_approval.install_changes (kind, name, was)
select 'comment', ours.table_name || '.' || ours.name, pg_catalog.col_description(a.attrelid, a.attnum)
from pg_temp.our_columns ours
join pg_catalog.pg_attribute a
  on a.attrelid = ('public.' || ours.table_name)::regclass
 and a.attname = ours.name
where ours.comment is not null
on conflict do nothing;

-- A comment of a column that the install adds is not one that was found; nor is what a second run meets.
delete from session_approval.install_changes n
where n.kind = 'comment'
  and exists (
    select from session_approval.install_changes c where c.kind = 'column' and c.name = n.name
  );

insert into session_approval.install_changes (kind, name)
select 'extension', 'btree_gist'
where not exists (select from pg_catalog.pg_extension e where e.extname = 'btree_gist')
on conflict do nothing;

insert into session_approval.install_changes (kind, name)
select 'view', 'session_approval.people'
where to_regclass('session_approval.people') is not null
  and to_regclass('session_approval.settings') is null
on conflict do nothing;
