-- The triggers that guard and record credits. From here on, writers wait until the install commits.

\ir guard_credits.sql
\ir record_credit_entry.sql
\ir record_truncated_credits.sql
\ir refuse_ledger_change.sql
