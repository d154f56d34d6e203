-- The installation's policy: one row, read with one select, changed with one update.

create table if not exists session_approval.settings (
  only_row boolean default true,
  default_time_zone text not null default 'UTC',
  pending_ttl interval not null default '72 hours',
  instant_ttl interval not null default '15 minutes',
  join_early interval not null default '10 minutes',
  free_cancel_window interval not null default '24 hours',
  buffer interval not null default '0 minutes',
  block_pending_slots boolean not null default true,
  video_base_url text,
  refund_grace interval not null default '30 days',
  -- Credits of one person are an integer in user_credits, too.
  -- squawk-ignore prefer-bigint-over-int
  low_balance integer not null default 1,
  constraint settings_pkey primary key (only_row),
  constraint there_is_one_row_of_settings check (only_row),
  constraint default_time_zone_is_known check (now() at time zone default_time_zone is not null),
  constraint pending_ttl_is_positive check (pending_ttl > interval '0'),
  constraint instant_ttl_is_positive check (instant_ttl > interval '0'),
  constraint join_early_is_not_negative check (join_early >= interval '0'),
  constraint free_cancel_window_is_not_negative check (free_cancel_window >= interval '0'),
  constraint buffer_is_not_negative check (buffer >= interval '0'),
  constraint refund_grace_is_positive check (refund_grace > interval '0'),
  constraint low_balance_is_not_negative check (low_balance >= 0),
  constraint video_base_url_is_an_address check (video_base_url ~ '^https?://[^/]+.*[^/]$')
);

insert into session_approval.settings default values on conflict (only_row) do nothing;

revoke all on session_approval.settings from public, anon, authenticated, service_role;
grant select, update on session_approval.settings to service_role;

comment on table session_approval.settings is
  'The installation''s policy, in one row. Change it with: update session_approval.settings set ...';
comment on column session_approval.settings.only_row is 'Keeps this table at one row.';
comment on column session_approval.settings.default_time_zone is
  'IANA time zone of a proposal that names none.';
comment on column session_approval.settings.pending_ttl is
  'How long a client has to answer a scheduled proposal; never longer than until its start.';
comment on column session_approval.settings.instant_ttl is
  'How long a client has to answer an instant proposal.';
comment on column session_approval.settings.join_early is
  'How long before its start a session can be joined.';
comment on column session_approval.settings.free_cancel_window is
  'A client who cancels at least this long before the start gets the credit back.';
comment on column session_approval.settings.buffer is
  'Pause kept free between two sessions of one person.';
comment on column session_approval.settings.block_pending_slots is
  'Whether a scheduled proposal that waits for an answer holds its slot in the calendar.';
comment on column session_approval.settings.video_base_url is
  'Where rooms live, without a closing slash, such as https://example.daily.co; fills the room '
  'address columns of approved sessions. Null leaves them empty.';
comment on column session_approval.settings.refund_grace is
  'How long a credit can be used that was refunded to a lot which has expired since.';
comment on column session_approval.settings.low_balance is
  'At this many credits or fewer, answers carry a low-balance hint.';
