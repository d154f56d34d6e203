-- Where triggers of the application's own find what they name without a schema, when our functions write: one
-- row, worked out of settings.application_search_path (trusted_search_path) and looked at in every statement.

create table if not exists session_approval.application_path (
  only_row boolean default true,
  path text not null,
  schemas oid[] not null,
  versions xid[] not null,
  constraint application_path_pkey primary key (only_row),
  constraint there_is_one_application_path check (only_row)
);

revoke all on session_approval.application_path from public, anon, authenticated, service_role;

comment on table session_approval.application_path is
  'The search_path of the application''s own triggers inside our functions. It follows '
  'settings.application_search_path by itself; not to be written by hand.';
comment on column session_approval.application_path.only_row is 'Keeps this table at one row.';
comment on column session_approval.application_path.path is
  'Those schemas of the setting that exist, and in which no role but a trusted one can create.';
comment on column session_approval.application_path.schemas is 'These schemas, by oid.';
comment on column session_approval.application_path.versions is
  'The xmin of their rows in pg_namespace: a grant or revoke on a schema changes it, and the path is '
  'worked out again.';
