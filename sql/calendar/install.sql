-- The calendar: who is taken and when, which times are free, and in which time zone.

\ir held_sessions.sql
\ir double_bookings.sql
\ir local_time_to_instant.sql
\ir parse_instant.sql
\ir calendar_key.sql
\ir calendar_lock_class.sql
\ir announce_direct_write.sql
\ir lock_calendars.sql
\ir holds_between.sql
\ir busy_sessions.sql
\ir conflicting_sessions.sql
\ir free_times_within.sql
\ir free_times.sql
\ir refuse_if_taken.sql
\ir book_slot.sql
\ir book_found_sessions.sql
\ir named_conflicts.sql
\ir availability_answer.sql
\ir check_availability.sql
