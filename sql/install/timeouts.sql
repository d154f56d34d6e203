-- How long a transaction of the install waits for a lock, and for a statement.

set local lock_timeout = '5s';
set local statement_timeout = '10min';
set local client_min_messages = warning;
