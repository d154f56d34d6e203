-- People: who acts, to whom a therapist may propose sessions, and in which time zone a person reads
-- times.

\ir clients.sql
\ir is_therapist.sql
\ir prove_caller.sql
\ir is_time_zone.sql
\ir time_zone_of.sql
\ir search_words.sql
\ir client_answer.sql
\ir list_clients.sql
