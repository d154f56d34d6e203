-- What every noun stands on.

\ir refuse.sql
\ir acting_role.sql
\ir application_search_path.sql
