-- The same install for large tables that are written to all the time: no writer waits longer than 100 ms.
-- psql -X -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -f sql/online/install.sql    (no -1: it is many transactions)
--
-- If it is interrupted, or stops because it did not get a lock, run it again: it continues where it
-- stopped. After every step the database works, and sql/uninstall/uninstall.sql can take it back to what
-- it was. It needs its own connection to the server: not one through a pooler in transaction mode.
--
-- Strong locks are taken in short attempts (lock_tables) and held for milliseconds. The long work
-- (building indexes, reading every row for a check, an opening entry for every lot) takes locks that no
-- writer waits for.

\set ON_ERROR_STOP on
set client_min_messages = warning;

do $$
begin
  if not pg_try_advisory_lock(hashtextextended('session_approval.online', 0)) then
    raise exception 'another session is installing online into this database; nothing was changed';
  end if;
end
$$;

\echo '1 of 7: whether all is here, and what there is before'
begin;
\ir ../install/timeouts.sql
\ir ../install/our_columns.sql
\ir ../install/our_indexes.sql
\ir ../install/our_public_objects.sql
\ir ../install/preconditions.sql
\ir ../migrations/0001_schema.sql
\ir ../install/public_objects.sql
\ir ../install/lock_tables.sql
\ir ../install/add_column.sql
\ir ../uninstall/restored_status_check.sql
\ir ../uninstall/uninstall_plan.sql
commit;

\echo '2 of 7: columns, checks for new rows, policies'
begin;
set local lock_timeout = '5s';
set local session_approval.online = 'on';
\ir ../migrations/0006_sessions.sql
\ir ../migrations/0011_status_checks.sql
\ir ../sessions/people_see_their_own_sessions.sql
commit;

begin;
set local lock_timeout = '5s';
\ir ../migrations/0004_user_credits.sql
\ir ../credits/clients_see_their_own_credits.sql
commit;

begin;
set local lock_timeout = '5s';
\ir ../migrations/0002_settings.sql
commit;

\echo '3 of 7: indexes (how far one is: select * from pg_stat_progress_create_index)'
\ir indexes.sql

\echo '4 of 7: checks for the rows that are there'
\ir checks.sql

\echo '5 of 7: everything else, in one transaction'
begin;
set local session_approval.online = 'on';
\ir ../install.sql
commit;

begin;
\ir ../install/record_install.sql
commit;

\echo '6 of 7: credit lots that were there, into the ledger'
\ir lots.sql

\echo '7 of 7: sessions that were there, into the calendar'
\ir bookings.sql
