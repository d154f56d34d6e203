-- How long a transaction of the install waits for a lock, and how long one statement may run.

set local lock_timeout = '5s';
set local statement_timeout = '10min';
set local client_min_messages = warning;
