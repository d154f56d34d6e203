-- The whole database on one screen: what holds data first, then what reads it, then what guards it.
-- psql -X -1 -v ON_ERROR_STOP=1 -f sql/install.sql    (safe to run again: the second run changes nothing)

\ir migrations/0001_preconditions.sql
\ir migrations/0002_schema.sql
\ir anew.sql
\ir functions/take_locks.sql
\ir migrations/0003_settings.sql
\ir migrations/0004_people.sql
\ir migrations/0005_sessions.sql
\ir migrations/0006_user_credits.sql
\ir migrations/0007_credit_ledger.sql
\ir migrations/0008_session_events.sql
\ir migrations/0009_bookings.sql
\ir migrations/0010_video_events.sql
\ir migrations/0011_transitions.sql
\ir migrations/0012_status_checks.sql
\ir migrations/0013_indexes.sql
\ir migrations/0020_installs.sql

\ir functions/room_name.sql
\ir views/clients.sql
\ir views/spendable_lots.sql
\ir views/session_details.sql
\ir views/session_outcomes.sql
\ir views/session_histories.sql
\ir views/held_sessions.sql
\ir views/double_bookings.sql

\ir functions/version.sql
\ir functions/definitions.sql
\ir functions/check_to_put_back.sql
\ir views/rollback_plan.sql

\ir functions/refuse.sql
\ir functions/refuse_unless_pending.sql
\ir functions/acting_role.sql
\ir functions/prove_caller.sql
\ir functions/is_time_zone.sql
\ir functions/time_zone_of.sql
\ir functions/local_time_to_instant.sql
\ir functions/proposed_start.sql
\ir functions/check_proposal.sql
\ir functions/keep_proposal.sql
\ir functions/room_to_remove.sql
\ir functions/rooms_to_repair.sql
\ir functions/note_credit_entry.sql
\ir functions/note_status_change.sql
\ir functions/spendable_balance.sql
\ir functions/debit_one_credit.sql
\ir functions/expire_lot.sql
\ir functions/add_credits.sql
\ir functions/refund_one_credit.sql
\ir functions/cancellation_terms.sql
\ir functions/end_proposal.sql
\ir functions/expire_proposal.sql
\ir functions/close_session.sql
\ir functions/was_swept.sql
\ir functions/calendar_key.sql
\ir functions/calendar_shelf.sql
\ir functions/announce_older_write.sql
\ir functions/lock_calendars.sql
\ir functions/holds_between.sql
\ir functions/busy_sessions.sql
\ir functions/conflicting_sessions.sql
\ir functions/free_times_within.sql
\ir functions/free_times.sql
\ir functions/refuse_if_taken.sql
\ir functions/hold_slot.sql

\ir functions/create_custom_session.sql
\ir functions/approve_session_and_deduct_credit.sql
\ir functions/decline_session.sql
\ir functions/cancel_session.sql
\ir functions/preview_cancellation.sql
\ir functions/join_session.sql
\ir functions/finish_session.sql
\ir functions/list_pending_sessions.sql
\ir functions/list_sessions.sql
\ir functions/get_session.sql
\ir functions/check_availability.sql
\ir functions/list_clients.sql
\ir functions/get_credits.sql

\ir functions/grant_credits.sql
\ir functions/adjust_credits.sql
\ir functions/sweep_sessions.sql
\ir functions/record_video_event.sql
\ir functions/reconcile_credits.sql

\ir policies/sessions.sql
\ir policies/user_credits.sql

\ir regrant.sql
\ir schedule.sql

\ir lock.sql
\ir triggers/sessions_guard.sql
\ir triggers/sessions_events.sql
\ir triggers/sessions_duration.sql
\ir triggers/sessions_slot.sql
\ir triggers/sessions_live.sql
\ir triggers/user_credits_guard.sql
\ir triggers/user_credits_ledger.sql
\ir triggers/credit_ledger_append_only.sql

\ir record.sql
\ir reload.sql
