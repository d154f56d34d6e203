-- The whole database on one screen: first the tables, then the functions and views, then the triggers.
-- psql -X -1 -v ON_ERROR_STOP=1 -f sql/install.sql    (safe to run again: the second run changes nothing)

\ir install/timeouts.sql
\ir install/our_columns.sql
\ir install/our_indexes.sql
\ir install/our_public_objects.sql
\ir install/preconditions.sql
\ir migrations/0001_schema.sql
\ir install/drop_replaceable_objects.sql
\ir install/lock_tables.sql
\ir install/add_column.sql
\ir sessions/session_event_kind.sql
\ir migrations/0002_settings.sql
\ir migrations/0003_people.sql
\ir migrations/0004_user_credits.sql
\ir migrations/0005_credit_ledger.sql
\ir migrations/0006_sessions.sql
\ir migrations/0007_session_events.sql
\ir migrations/0008_transitions.sql
\ir migrations/0009_bookings.sql
\ir migrations/0010_video_events.sql
\ir migrations/0011_status_checks.sql
\ir migrations/0012_indexes.sql
\ir migrations/0013_installs.sql
\ir migrations/0014_application_path.sql

\ir install/version.sql
\ir install/public_objects.sql
\ir install/object_digests.sql
\ir uninstall/restored_status_check.sql
\ir uninstall/uninstall_plan.sql

\ir base/install.sql
\ir people/install.sql
\ir credits/install.sql
\ir calendar/install.sql
\ir sessions/install.sql
\ir video/install.sql

\ir install/restore_grants.sql
\ir install/schedule_sweep.sql

\ir install/lock_application_tables.sql
\ir base/triggers.sql
\ir sessions/triggers.sql
\ir credits/triggers.sql
\ir calendar/triggers.sql
\ir install/application_triggers.sql
\ir install/backfill_ledger.sql
\ir install/backfill_bookings.sql

\ir install/record_install.sql
\ir install/notify_postgrest.sql
