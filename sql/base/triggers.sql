-- What lets the application's own triggers work inside our functions.

\ir follow_settings.sql
\ir switch_to_application_settings.sql
\ir switch_back_to_our_settings.sql
