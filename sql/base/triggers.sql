-- What gives the application's triggers its own settings, before and after ours.

\ir enter_application_settings.sql
\ir leave_application_settings.sql
