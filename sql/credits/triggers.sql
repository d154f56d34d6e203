-- What guards and records credits; from here on writers wait.

\ir guard_credits.sql
\ir record_credit_entry.sql
\ir record_truncated_credits.sql
\ir refuse_ledger_change.sql
