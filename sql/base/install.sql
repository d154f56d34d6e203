-- The functions that every other folder uses.

\ir refuse.sql
\ir acting_role.sql
\ir trusted_search_path.sql
\ir refresh_application_path.sql
