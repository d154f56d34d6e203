-- Turn session_approval.session_events into partitions by id, without copying a row: the table as it is
-- becomes the first partition, and empty ones follow it. Ids are given in order of time, so that a partition
-- is a time too; by id, because the primary key, and the order within a session's history, stay as they are.
--
--   psql -X -v ON_ERROR_STOP=1 -v first=60000000 -v each=2000000 -v ahead=24 \
--     -d "$DATABASE_URL" -f scripts/scaling/partition_events.sql
--
-- first: the id at which the second partition begins, beyond every id that will be given before this has run.
-- each: ids in a partition. ahead: partitions made now; make more before they are full, or writing stops.
-- Postgres 17 or newer: before it an identity column and partitions do not go together.
--
-- Writers wait only for the last transaction, which locks everybody out while it installs anew (a second or
-- so): the views that read the table must read the new one. Where the lock is not had in two seconds nothing
-- happens; run it again. What scans the table, the validation, disturbs neither reader nor writer.

alter table session_approval.session_events drop constraint if exists is_before_the_partitions;
alter table session_approval.session_events
  add constraint is_before_the_partitions check (id < :first) not valid;
alter table session_approval.session_events validate constraint is_before_the_partitions;

begin;

set local lock_timeout = '2s';
set local client_min_messages = warning;
lock table session_approval.session_events in access exclusive mode;

alter table session_approval.session_events alter column id drop identity;
alter table session_approval.session_events rename constraint session_events_pkey to session_events_0_pkey;
alter index session_approval.session_events_session_id_idx rename to session_events_0_session_id_idx;
alter table session_approval.session_events rename to session_events_0;

create table session_approval.session_events (
  like session_approval.session_events_0 including defaults including comments
) partition by range (id);
alter table session_approval.session_events
  add constraint session_events_pkey primary key (id),
  alter column id add generated always as identity;
select setval(
  'session_approval.session_events_id_seq',
  (select coalesce(max(e.id), 0) + 1 from session_approval.session_events_0 e),
  false) as next_id;
create index session_events_session_id_idx on session_approval.session_events (session_id, id);

alter table session_approval.session_events
  attach partition session_approval.session_events_0 for values from (minvalue) to (:first);
alter table session_approval.session_events_0 drop constraint is_before_the_partitions;
select format(
  'create table session_approval.session_events_%s partition of session_approval.session_events'
  ' for values from (%s) to (%s)',
  n, :first + (n - 1) * :each, :first + n * :each)
from generate_series(1, :ahead) n
\gexec

revoke all on session_approval.session_events, session_approval.session_events_0
  from public, anon, authenticated, service_role;
revoke all on sequence session_approval.session_events_id_seq from public, anon, authenticated, service_role;
grant select on session_approval.session_events to service_role;
select obj_description('session_approval.session_events_0'::regclass) as is_for
\gset
comment on table session_approval.session_events is :'is_for';

-- The views and functions anew, over the new table.
\ir ../../sql/install.sql

commit;
