-- Every column that the install adds to the application's tables. Each is declared here and nowhere
-- else. The preconditions, the record of what was added, the "alter table" and the comments all read
-- this list.
--
-- definition: as in "alter table ... add column". It has no check, and no default that Postgres must
--   compute for each row. So Postgres adds the column without reading the rows.
-- values: what the column may hold; adds the check <name>_is_known, which is validated afterwards.
-- accepts: the types that our functions can work with, if the application has such a column already.
-- filled: whether a new session, or a grant, fills it always or sometimes; null if neither fills it.
-- comment: null if the application may use this name for the same thing; the column then keeps its
--   comment.
--
-- This is a temporary table, because the preconditions need it before our schema exists. It goes when
-- the connection ends.

create temporary table if not exists our_columns (
  table_name text,
  name text,
  definition text,
  values text[],
  accepts text,
  filled text,
  comment text
);

delete from pg_temp.our_columns where true;

insert into pg_temp.our_columns (table_name, name, definition, accepts, filled, comment)
values
  ('sessions', 'is_instant', 'boolean not null default false', 'boolean', 'always',
    'Starts when the client approves it.'),
  ('sessions', 'requires_approval', 'boolean not null default false', 'boolean', 'always',
    'Proposed by a therapist: only the client''s approval, paid with one credit, makes it happen.'),
  ('sessions', 'created_by', 'uuid', 'uuid', 'always', 'Who proposed it.'),
  ('sessions', 'approval_expires_at', 'timestamptz', 'timestamptz or timestamp', 'always',
    'Until when the client can answer; null has no limit.'),
  ('sessions', 'approved_at', 'timestamptz', 'timestamptz or timestamp', 'sometimes',
    'When the client approved it.'),
  ('sessions', 'credit_lot_id', 'uuid', 'uuid', 'sometimes',
    'The row of user_credits that paid. No foreign key, so that deleting a lot goes on working.'),
  ('sessions', 'time_zone', 'text', 'text', 'always',
    'IANA time zone in which scheduled_date and scheduled_time are written.'),
  ('sessions', 'request_key', 'text', 'text', 'sometimes',
    'The caller''s idempotency key: the same person proposing twice under one key makes one session.'),
  ('sessions', 'title', 'text', 'text', 'always', null),
  ('sessions', 'description', 'text', 'text', null, null),
  ('sessions', 'notes', 'text', 'text', 'sometimes', null),
  ('sessions', 'scheduled_date', 'date', 'date, time or text', 'always', null),
  ('sessions', 'scheduled_time', 'time', 'date, time or text', 'always', null),
  ('sessions', 'duration_minutes', 'integer', 'number', 'always', null),
  ('sessions', 'session_url', 'text', 'text', null, null),
  ('sessions', 'room_name', 'text', 'text', null, null),
  ('sessions', 'daily_room_url', 'text', 'text', null, null),
  ('sessions', 'daily_room_name', 'text', 'text', null, null),
  ('sessions', 'cancellation_reason', 'text', 'text', null, null),
  ('sessions', 'cancelled_by', 'uuid', 'uuid or text', null, null),
  ('sessions', 'cancelled_at', 'timestamptz', 'date or timestamp', null, null),
  ('sessions', 'series_id', 'uuid', 'uuid', 'sometimes',
    'The series of sessions that it was proposed with; null for a session on its own.'),
  ('sessions', 'free_cancel_until', 'timestamptz', 'timestamptz', 'sometimes',
    'Until when the client''s cancellation gives the credit back, fixed at approval.'),
  ('sessions', 'no_show_by', 'text', 'text', 'sometimes',
    'Who did not come to a session with the status no_show: client, therapist or both.'),
  ('user_credits', 'status', 'text not null default ''active''', 'text or enum', null, null),
  ('user_credits', 'expires_at', 'timestamptz', 'timestamptz', 'sometimes',
    'When the credits left in this lot stop paying; null never.'),
  ('user_credits', 'credits_expired', 'integer not null default 0', 'number', null,
    'Credits of this lot that were written off when it expired.');

update pg_temp.our_columns
set values = '{client,therapist,both}'
where (table_name, name) = ('sessions', 'no_show_by');
