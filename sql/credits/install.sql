-- Credits: the lots that pay, the credits that an act takes and gives back, and the ledger.

\ir spendable_lots.sql
\ir note_credit_entry.sql
\ir open_lots.sql
\ir spendable_balance.sql
\ir debit_one_credit.sql
\ir expire_lot.sql
\ir add_credits.sql
\ir unreturned_debit.sql
\ir refund_one_credit.sql
\ir credits_answer.sql
\ir grant_answer.sql
\ir adjustment_answer.sql
\ir reconciliation_answer.sql
\ir get_credits.sql
\ir grant_credits.sql
\ir adjust_credits.sql
\ir reconcile_credits.sql
\ir clients_see_their_own_credits.sql
