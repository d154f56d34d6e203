-- The base tables for a new project that has none: people, sessions and credit lots. Row level security
-- is on for each table.
-- psql -X -1 -v ON_ERROR_STOP=1 -f sql/starter/install.sql, and then sql/install.sql.

\ir users.sql
\ir sessions.sql
\ir user_credits.sql
