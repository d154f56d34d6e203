-- The triggers that guard sessions, record their changes and tell their people.

\ir guard_session.sql
\ir record_session_event.sql
\ir fill_duration.sql
\ir broadcast_change.sql
