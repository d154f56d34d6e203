-- The schema of the implementations. PostgREST must not expose it, so that callers reach only the public
-- functions.

create schema if not exists session_approval;

comment on schema session_approval is
  'Session approval: the implementations of the public functions, the credit ledger, events, settings. '
  'Do not add it to the exposed schemas.';

revoke all on schema session_approval from public, anon;
-- An entry point is security invoker and calls its implementation here, so its callers need usage on
-- this schema.
grant usage on schema session_approval to authenticated, service_role;

-- The install records what it is going to change, so that sql/uninstall can put it back. If a name of
-- ours is taken already, that object belongs to the application and is never dropped.
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
  'What the install added to the application''s tables, and what it replaced. uninstall_plan reads it.';
comment on column session_approval.install_changes.kind is
  'column, index, extension: the install added it. comment, check, function: the install replaced it. '
  'view: it was there, and the install left it as it was.';
comment on column session_approval.install_changes.name is 'The name of the object.';
comment on column session_approval.install_changes.was is
  'What was there before: a comment''s text, a check''s expression, statements that make a function.';
comment on column session_approval.install_changes.became is 'The new definition of a check.';

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

-- The comments that the migrations overwrite, on columns that were there before.
insert into session_approval.install_changes (kind, name, was)
select 'comment', ours.table_name || '.' || ours.name, pg_catalog.col_description(a.attrelid, a.attnum)
from pg_temp.our_columns ours
join pg_catalog.pg_attribute a
  on a.attrelid = ('public.' || ours.table_name)::regclass
 and a.attname = ours.name
where ours.comment is not null
on conflict do nothing;

-- A column that the install adds had no comment before. On a second run it has our own comment, which
-- must not be recorded either.
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
