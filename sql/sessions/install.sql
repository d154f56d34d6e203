-- Sessions: their shape, the acts of their two people, and what time does to them.

\ir room_name.sql
\ir session_details.sql
\ir session_outcomes.sql
\ir session_histories.sql
\ir refuse_unless_pending.sql
\ir proposed_start.sql
\ir check_proposal.sql
\ir insert_or_find_proposal.sql
\ir room_to_remove.sql
\ir note_status_change.sql
\ir cancellation_terms.sql
\ir end_proposal.sql
\ir expire_proposal.sql
\ir close_session.sql
\ir status_set_by_system.sql
\ir create_custom_session.sql
\ir approve_session_and_deduct_credit.sql
\ir decline_session.sql
\ir cancel_session.sql
\ir preview_cancellation.sql
\ir finish_session.sql
\ir list_pending_sessions.sql
\ir list_sessions.sql
\ir get_session.sql
\ir sweep_sessions.sql
\ir people_see_their_own_sessions.sql
