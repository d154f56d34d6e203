-- The triggers that keep the bookings in step with the sessions.

\ir sync_booking.sql
\ir clear_bookings.sql
