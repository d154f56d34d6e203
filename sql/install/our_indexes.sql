-- Every index that the install adds to the application's tables. Each is declared here and nowhere else,
-- and the comment above it names the function that needs it. This list is read by the record of what was
-- added, migrations/0012_indexes.sql and online/indexes.sql.
--
-- definition: as in "create index name on table".

create temporary table if not exists our_indexes (
  name text,
  is_unique boolean,
  table_name text,
  definition text
);

delete from pg_temp.our_indexes where true;

insert into pg_temp.our_indexes (name, is_unique, table_name, definition)
values
  -- One proposal per idempotency key: create_custom_session inserts "on conflict do nothing" on it.
  ('sessions_created_by_request_key_idx', true, 'sessions',
    '(created_by, request_key) where request_key is not null'),
  -- list_pending_sessions: a client's unanswered proposals, newest first.
  ('sessions_user_id_created_at_pending_idx', false, 'sessions',
    '(user_id, created_at desc) where status = ''pending_approval'''),
  -- sweep_sessions: proposals whose time to answer is over.
  ('sessions_approval_expires_at_pending_idx', false, 'sessions',
    '(approval_expires_at) where status = ''pending_approval'''),
  -- sweep_sessions: approved sessions whose end has passed.
  ('sessions_end_time_approved_idx', false, 'sessions',
    '(end_time) where requires_approval and status in (''scheduled'', ''confirmed'', ''in_progress'')'),
  -- list_sessions: one person's sessions, from either side, by start.
  ('sessions_user_id_start_time_idx', false, 'sessions', '(user_id, start_time desc, id)'),
  ('sessions_therapist_id_start_time_idx', false, 'sessions', '(therapist_id, start_time desc, id)'),
  -- approve_session: the lots of one client.
  ('user_credits_user_id_idx', false, 'user_credits', '(user_id)'),
  -- sweep_sessions: lots with credits left that have expired.
  ('user_credits_expires_at_idx', false, 'user_credits', '(expires_at) where credits_balance > 0');
