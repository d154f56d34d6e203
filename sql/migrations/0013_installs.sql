-- The history of installs: one row for each install that changed something.

create table if not exists session_approval.installs (
  id bigint generated always as identity,
  version text not null,
  installed_at timestamptz not null default now(),
  installed_by text not null default current_user,
  checksum text not null,
  definitions jsonb not null,
  constraint installs_pkey primary key (id)
);

revoke all on session_approval.installs from public, anon, authenticated, service_role;
revoke all on sequence session_approval.installs_id_seq from public, anon, authenticated, service_role;

comment on table session_approval.installs is
  'One row for every install that changed something. Running the same install again adds no row.';
comment on column session_approval.installs.id is 'The order of the installs.';
comment on column session_approval.installs.version is 'The release that was installed.';
comment on column session_approval.installs.installed_at is
  'The time of the install, by the database''s clock.';
comment on column session_approval.installs.installed_by is 'The database role that installed.';
comment on column session_approval.installs.checksum is
  'The checksum of all our functions; the same in every database that has this release.';
comment on column session_approval.installs.definitions is
  'A digest of each of our objects as installed, by kind and name. make doctor compares with them.';
