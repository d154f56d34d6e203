-- The whole database on one screen: what holds data first, then what reads it, then what guards it.
-- psql -X -1 -v ON_ERROR_STOP=1 -f sql/install.sql    (safe to run again: the second run changes nothing)

-- sql/migrations/0001_preconditions.sql
-- Stop before anything is changed when this database lacks what the rest of the install relies on.
-- One message lists all that is missing, each with what to do about it.

set local lock_timeout = '5s';
set local client_min_messages = warning;

do $$
declare
  v_missing text[] := '{}';
  v_role text;
  v_column text;
begin
  if current_setting('server_version_num')::integer < 140000 then
    v_missing := v_missing || 'PostgreSQL 14 or newer: this server is '
      || current_setting('server_version');
  end if;

  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_catalog.pg_roles r where r.rolname = v_role) then
      v_missing := v_missing || format(
        'role %I: Supabase has it; on plain Postgres run sql/local/supabase.sql first', v_role);
    end if;
  end loop;

  if to_regprocedure('auth.uid()') is null then
    v_missing := v_missing ||
      text 'function auth.uid(): Supabase has it; on plain Postgres run sql/local/supabase.sql first';
  end if;

  if to_regclass('session_approval.people') is null and to_regclass('public.users') is null then
    v_missing := v_missing || text 'table public.users: where people live in another table, create the '
      'view session_approval.people over it first (README, "For DBAs"); '
      'a new project runs sql/starter/install.sql';
  elsif to_regclass('session_approval.people') is null and not exists (
    select
    from information_schema.columns c
    where c.table_schema = 'public'
      and c.table_name = 'users'
      and c.column_name in ('user_type', 'role')
  ) then
    v_missing := v_missing || text 'column public.users.user_type, or role: where the kind of an account '
      'is kept elsewhere, create the view session_approval.people first (README, "For DBAs")';
  end if;

  foreach v_column in array array[
    'sessions.id', 'sessions.user_id', 'sessions.therapist_id', 'sessions.start_time',
    'sessions.end_time', 'sessions.status', 'sessions.session_type', 'sessions.created_at',
    'user_credits.id', 'user_credits.user_id', 'user_credits.user_type',
    'user_credits.credits_balance', 'user_credits.created_at'
  ] loop
    if not exists (
      select
      from information_schema.columns c
      where c.table_schema = 'public'
        and c.table_name || '.' || c.column_name = v_column
    ) then
      v_missing := v_missing || format(
        'column public.%s: a new project runs sql/starter/install.sql first', v_column);
    end if;
  end loop;

  for v_column in
    select format('%s.%s of type uuid: it is %s', c.table_name, c.column_name, c.data_type)
    from information_schema.columns c
    where c.table_schema = 'public'
      and c.data_type <> 'uuid'
      and (
        c.table_name || '.' || c.column_name in (
          'sessions.id', 'sessions.user_id', 'sessions.therapist_id', 'user_credits.id',
          'user_credits.user_id'
        )
        or (
          c.table_name || '.' || c.column_name = 'users.id'
          and to_regclass('session_approval.people') is null
        )
      )
    order by 1
  loop
    v_missing := v_missing || format('column public.%s', v_column);
  end loop;

  if v_missing <> '{}' then
    raise exception using
      message = 'session approval cannot be installed yet; nothing was changed. Missing:'
        || E'\n  - ' || array_to_string(v_missing, E'\n  - '),
      errcode = 'object_not_in_prerequisite_state';
  end if;
end
$$;
-- sql/migrations/0002_schema.sql
-- The schema behind the doors: never exposed by PostgREST, so that only public.* functions are reachable.

create schema if not exists session_approval;

comment on schema session_approval is
  'Session approval: the rooms behind the public functions, the credit ledger, events and settings. '
  'Do not add it to the exposed schemas.';

revoke all on schema session_approval from public, anon;
-- The doors are security invoker and call a room here, so their callers must be able to look it up.
grant usage on schema session_approval to authenticated, service_role;

-- An earlier attempt left a function of the published name that fails on every call; its columns differ from
-- ours, so that it must go before ours can stand in its place.
do $$
begin
  if exists (
    select
    from pg_catalog.pg_proc f
    where f.oid = to_regprocedure('public.approve_session_and_deduct_credit(uuid, uuid)')
      and f.prorettype is distinct from to_regtype('session_approval.session_outcomes')
  ) then
    drop function public.approve_session_and_deduct_credit(uuid, uuid);
  end if;
end
$$;
-- sql/migrations/0003_settings.sql
-- The installation's policy: one row, read with one select, changed with one update.

create table if not exists session_approval.settings (
  only_row boolean not null default true,
  default_time_zone text not null default 'UTC',
  pending_ttl interval not null default '72 hours',
  instant_ttl interval not null default '15 minutes',
  join_early interval not null default '10 minutes',
  free_cancel_window interval not null default '24 hours',
  buffer interval not null default '0 minutes',
  block_pending_slots boolean not null default true,
  video_base_url text,
  refund_grace interval not null default '30 days',
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
-- sql/migrations/0004_people.sql
-- The one seam to the application's people: every function reads them through this view and nowhere else.
-- Its default reads public.users. Where people live elsewhere, a DBA creates or replaces this view, with
-- the same columns; the install then leaves it as it finds it.

do $$
declare
  v_columns text[];
begin
  if to_regclass('session_approval.people') is not null then
    return;
  end if;

  select array_agg(c.column_name::text)
  into v_columns
  from information_schema.columns c
  where c.table_schema = 'public'
    and c.table_name = 'users';

  execute format(
    'create view session_approval.people as
     select u.id, %s as full_name, %s as email, %s as user_type, %s as is_active, %s as time_zone
     from public.users u',
    case
      when 'full_name' = any (v_columns) then 'u.full_name::text'
      when 'name' = any (v_columns) then 'u.name::text'
      else 'null::text'
    end,
    case when 'email' = any (v_columns) then 'u.email::text' else 'null::text' end,
    case when 'user_type' = any (v_columns) then 'u.user_type::text' else 'u.role::text' end,
    case when 'is_active' = any (v_columns) then 'coalesce(u.is_active, true)' else 'true' end,
    case
      when 'time_zone' = any (v_columns) then 'u.time_zone::text'
      when 'timezone' = any (v_columns) then 'u.timezone::text'
      else 'null::text'
    end
  );
end
$$;

revoke all on session_approval.people from public, anon, authenticated;

comment on view session_approval.people is
  'Everybody who can propose or approve: id (uuid), full_name, email, user_type (therapist; individual '
  'or user for clients), is_active, time_zone (IANA or null). Redefine it where people live elsewhere.';
-- sql/migrations/0005_sessions.sql
-- What a session needs to be proposed, approved and paid, beside what the application already keeps.
-- Every column is added only where missing; a column that is already there keeps its type and its rows.

alter table public.sessions
  add column if not exists is_instant boolean not null default false,
  add column if not exists requires_approval boolean not null default false,
  add column if not exists created_by uuid,
  add column if not exists approval_expires_at timestamptz,
  add column if not exists approved_at timestamptz,
  add column if not exists credit_lot_id uuid,
  add column if not exists time_zone text,
  add column if not exists request_key text,
  add column if not exists title text,
  add column if not exists description text,
  add column if not exists notes text,
  add column if not exists scheduled_date date,
  add column if not exists scheduled_time time,
  add column if not exists duration_minutes integer,
  add column if not exists session_url text,
  add column if not exists room_name text,
  add column if not exists daily_room_url text,
  add column if not exists daily_room_name text,
  add column if not exists cancellation_reason text,
  add column if not exists cancelled_by uuid,
  add column if not exists cancelled_at timestamptz;

comment on column public.sessions.is_instant is 'Starts when the client approves it.';
comment on column public.sessions.requires_approval is
  'Proposed by a therapist: only the client''s approval, paid with one credit, makes it happen.';
comment on column public.sessions.created_by is 'Who proposed it.';
comment on column public.sessions.approval_expires_at is
  'Until when the client can answer; null has no limit.';
comment on column public.sessions.approved_at is 'When the client approved it.';
comment on column public.sessions.credit_lot_id is
  'The row of user_credits that paid. No foreign key, so that deleting a lot goes on working.';
comment on column public.sessions.time_zone is
  'IANA time zone in which scheduled_date and scheduled_time are written.';
comment on column public.sessions.request_key is
  'The caller''s idempotency key: the same person proposing twice under one key makes one session.';

-- A check on status alone that refuses one of the seven statuses is widened by them, and goes on
-- allowing all that it allowed. Checks that involve other columns are left alone.
do $$
declare
  v_seven constant text := $list$
    'pending_approval', 'scheduled', 'confirmed', 'in_progress', 'completed', 'no_show', 'cancelled'
  $list$;
  v_check record;
  v_allows_all boolean;
begin
  for v_check in
    select
      k.conname, pg_catalog.pg_get_expr(k.conbin, k.conrelid) as expression,
      case when not k.convalidated then 'not valid' else '' end as validity
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_attribute a
      on a.attrelid = k.conrelid
     and a.attname = 'status'
    where k.conrelid = 'public.sessions'::regclass
      and k.contype = 'c'
      and k.conkey = array[a.attnum]
  loop
    execute format(
      'select bool_and(%s) from unnest(array[%s]) as t (status)', v_check.expression, v_seven)
    into v_allows_all;

    if v_allows_all is false then
      execute format('alter table public.sessions drop constraint %I', v_check.conname);
      execute format(
        'alter table public.sessions add constraint %I check ((%s) or status in (%s)) %s',
        v_check.conname, v_check.expression, v_seven, v_check.validity);
    end if;
  end loop;
end
$$;

-- One proposal per idempotency key: create_custom_session inserts "on conflict do nothing" on it.
create unique index if not exists sessions_created_by_request_key_idx
  on public.sessions (created_by, request_key)
  where request_key is not null;

-- list_pending_sessions: a client's unanswered proposals, newest first.
create index if not exists sessions_user_id_created_at_pending_idx
  on public.sessions (user_id, created_at desc)
  where status = 'pending_approval';

-- sweep_sessions: proposals whose time to answer is over.
create index if not exists sessions_approval_expires_at_pending_idx
  on public.sessions (approval_expires_at)
  where status = 'pending_approval';

-- list_sessions: one person's sessions, from either side, by start.
create index if not exists sessions_user_id_start_time_idx
  on public.sessions (user_id, start_time desc, id);
create index if not exists sessions_therapist_id_start_time_idx
  on public.sessions (therapist_id, start_time desc, id);
-- sql/migrations/0006_user_credits.sql
-- What a credit lot needs to be spent in the right order: whether it is active and until when.

alter table public.user_credits
  add column if not exists status text not null default 'active',
  add column if not exists expires_at timestamptz,
  add column if not exists credits_expired integer not null default 0;

comment on column public.user_credits.expires_at is
  'When the credits left in this lot stop paying; null never.';
comment on column public.user_credits.credits_expired is
  'Credits of this lot that were written off when it expired.';

-- approve_session: the lots of one client.
create index if not exists user_credits_user_id_idx on public.user_credits (user_id);
-- sweep_sessions: lots with credits left that have expired.
create index if not exists user_credits_expires_at_idx
  on public.user_credits (expires_at)
  where credits_balance > 0;
-- sql/migrations/0007_credit_ledger.sql
-- Every change of every credit balance, whoever made it: the sum of a lot's entries is its balance.
-- No foreign keys: the history outlives a deleted lot, session or person, and deleting them goes on working.

create table if not exists session_approval.credit_ledger (
  id bigint generated always as identity,
  lot_id uuid not null,
  user_id uuid,
  session_id uuid,
  kind text not null,
  delta integer not null,
  balance_after integer not null,
  actor_id uuid,
  reason text,
  source text,
  reference text,
  created_at timestamptz not null default now(),
  constraint credit_ledger_pkey primary key (id),
  constraint kind_is_known check (
    kind in ('opening', 'grant', 'approval', 'refund', 'expiry', 'external')
  ),
  constraint an_approval_takes_one_credit_for_a_session check (
    kind <> 'approval' or (delta = -1 and session_id is not null)
  ),
  constraint a_refund_returns_one_credit_for_a_session check (
    kind <> 'refund' or (delta = 1 and session_id is not null)
  )
);

-- Reconciling a lot, and the opening entry of a lot that has none yet.
create index if not exists credit_ledger_lot_id_idx on session_approval.credit_ledger (lot_id, id);
-- get_credits: one client's history, newest first.
create index if not exists credit_ledger_user_id_idx
  on session_approval.credit_ledger (user_id, id desc);
-- A session is paid at most once and refunded at most once; the last line of defence behind the locks.
create unique index if not exists credit_ledger_session_id_kind_idx
  on session_approval.credit_ledger (session_id, kind)
  where kind in ('approval', 'refund');
-- grant_credits: one reference of one source is one grant.
create unique index if not exists credit_ledger_source_reference_idx
  on session_approval.credit_ledger (source, reference)
  where kind = 'grant';

revoke all on session_approval.credit_ledger from public, anon, authenticated, service_role;
revoke all on sequence session_approval.credit_ledger_id_seq
  from public, anon, authenticated, service_role;
grant select on session_approval.credit_ledger to service_role;

comment on table session_approval.credit_ledger is
  'Append-only: one row for every change of any user_credits.credits_balance. Units are credits.';
comment on column session_approval.credit_ledger.id is 'In the order in which the changes were made.';
comment on column session_approval.credit_ledger.lot_id is 'The row of user_credits that changed.';
comment on column session_approval.credit_ledger.user_id is
  'Whose credits; null where the lot belongs to nobody.';
comment on column session_approval.credit_ledger.session_id is
  'The session that was paid or refunded, where one was.';
comment on column session_approval.credit_ledger.kind is
  'opening: found at install. grant: bought or given. approval: paid for a session. refund: returned '
  'from one. expiry: written off. external: changed by something other than these functions.';
comment on column session_approval.credit_ledger.delta is 'Credits added, or taken when negative.';
comment on column session_approval.credit_ledger.balance_after is 'Credits in the lot afterwards.';
comment on column session_approval.credit_ledger.actor_id is
  'The person who did it, where the database knows one.';
comment on column session_approval.credit_ledger.reason is 'In the actor''s words.';
comment on column session_approval.credit_ledger.source is
  'Of a grant: who paid, such as the payment provider. Of an external change: the database role.';
comment on column session_approval.credit_ledger.reference is
  'Of a grant: the payment''s own id; one reference of one source is one grant.';
comment on column session_approval.credit_ledger.created_at is 'When, by the database''s clock.';
-- sql/migrations/0008_session_events.sql
-- Every change of every session's status, whoever made it.
-- No foreign key to sessions, so that truncating or deleting them goes on working.

create table if not exists session_approval.session_events (
  id bigint generated always as identity,
  session_id uuid not null,
  from_status text,
  to_status text,
  actor_id uuid,
  reason text,
  created_at timestamptz not null default now(),
  constraint session_events_pkey primary key (id)
);

-- get_session: one session's history, in order.
create index if not exists session_events_session_id_idx
  on session_approval.session_events (session_id, id);

revoke all on session_approval.session_events from public, anon, authenticated, service_role;
revoke all on sequence session_approval.session_events_id_seq
  from public, anon, authenticated, service_role;
grant select on session_approval.session_events to service_role;

comment on table session_approval.session_events is
  'One row for every change of any session''s status.';
comment on column session_approval.session_events.id is 'In the order in which the changes were made.';
comment on column session_approval.session_events.session_id is 'The session.';
comment on column session_approval.session_events.from_status is 'Null when it was created.';
comment on column session_approval.session_events.to_status is
  'The status from then on; null where the application set none.';
comment on column session_approval.session_events.actor_id is
  'The person who did it, where the database knows one.';
comment on column session_approval.session_events.reason is 'In the actor''s words.';
comment on column session_approval.session_events.created_at is 'When, by the database''s clock.';
-- sql/migrations/0009_bookings.sql
-- Who is taken, and when: the calendar of the sessions that came through approval. Two of them can never hold
-- one person at one time, whoever writes them and whatever else goes wrong.
--
-- A table of its own rather than a constraint on public.sessions, so that sessions which overlap already go
-- on living, those that other code inserts are never refused, and a slot can be held or given back by policy.

-- Compares uuids inside an exclusion constraint. Supabase keeps extensions in a schema of their own.
do $$
begin
  if not exists (select from pg_catalog.pg_extension e where e.extname = 'btree_gist') then
    execute format(
      'create extension btree_gist schema %I',
      case when to_regnamespace('extensions') is null then 'session_approval' else 'extensions' end);
  end if;
end
$$;

create table if not exists session_approval.bookings (
  session_id uuid not null,
  person_id uuid not null,
  during tstzrange not null,
  constraint bookings_pkey primary key (session_id, person_id),
  constraint nobody_is_booked_twice exclude using gist (person_id with =, during with &&)
);

revoke all on session_approval.bookings from public, anon, authenticated, service_role;
grant select on session_approval.bookings to service_role;

comment on table session_approval.bookings is
  'The time that each session which came through approval, or waits for it, holds of its two people. Kept by '
  'a trigger on public.sessions; not to be written by hand.';
comment on column session_approval.bookings.session_id is 'The session that holds the time.';
comment on column session_approval.bookings.person_id is 'Its therapist, or its client.';
comment on column session_approval.bookings.during is
  'From its start until just before its end, so that one session may begin when another ends.';

alter table session_approval.settings
  add column if not exists finish_after interval not null default '15 minutes',
  add column if not exists refund_no_show boolean not null default false;

do $$
begin
  if not exists (
    select
    from pg_catalog.pg_constraint c
    where c.conname = 'finish_after_is_not_negative'
      and c.conrelid = 'session_approval.settings'::regclass
  ) then
    alter table session_approval.settings
      add constraint finish_after_is_not_negative check (finish_after >= interval '0');
  end if;
end
$$;

comment on column session_approval.settings.finish_after is
  'How long after its end the sweep closes a session that its therapist has not: completed when somebody '
  'joined it, no_show when nobody did.';
comment on column session_approval.settings.refund_no_show is
  'Whether the sweep gives the credit back when nobody joined a session.';

-- sweep_sessions: approved sessions whose end has passed.
create index if not exists sessions_end_time_approved_idx
  on public.sessions (end_time)
  where requires_approval and status in ('scheduled', 'confirmed', 'in_progress');
-- sql/migrations/0010_video_events.sql
-- What the video provider tells of sessions' rooms, each event once: who attended, from when to when.
-- No foreign key to sessions, so that truncating or deleting them goes on working.

create table if not exists session_approval.video_events (
  id text not null,
  session_id uuid not null,
  type text not null,
  user_id uuid,
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  constraint video_events_pkey primary key (id),
  constraint type_is_known check (
    type in ('meeting.started', 'participant.joined', 'participant.left', 'meeting.ended')
  )
);

-- record_video_event: whether a session's meeting has ended; and who attended it, in order.
create index if not exists video_events_session_id_idx
  on session_approval.video_events (session_id, occurred_at);

revoke all on session_approval.video_events from public, anon, authenticated, service_role;
grant select on session_approval.video_events to service_role;

comment on table session_approval.video_events is
  'One row for every event of a session''s video room: its meeting started or ended, somebody came or '
  'went.';
comment on column session_approval.video_events.id is
  'The provider''s own id; an event that is told again is not kept again.';
comment on column session_approval.video_events.session_id is 'The session whose room it was.';
comment on column session_approval.video_events.type is
  'meeting.started, participant.joined, participant.left or meeting.ended.';
comment on column session_approval.video_events.user_id is
  'Who came or went; null for a meeting, and for somebody without a token of ours.';
comment on column session_approval.video_events.occurred_at is
  'When, by the provider''s clock; its events may be told late and in any order.';
comment on column session_approval.video_events.received_at is 'When it was told, by the database''s clock.';
-- sql/migrations/0011_transitions.sql
-- How a session that needs approval may go from one status to another, for a DBA to read and for the guard to
-- obey: people with a token may write those marked by_writing themselves, as existing screens do; the others
-- are the functions' alone. service_role and the owner can write any; what they do is recorded.

create table if not exists session_approval.transitions (
  from_status text not null,
  to_status text not null,
  act text not null,
  by_writing boolean not null,
  constraint transitions_pkey primary key (from_status, to_status),
  constraint a_transition_leads_elsewhere check (from_status <> to_status)
);

insert into session_approval.transitions (from_status, to_status, act, by_writing)
values
  ('pending_approval', 'scheduled', 'approve', false),
  ('pending_approval', 'confirmed', 'approve, when instant', false),
  ('pending_approval', 'cancelled', 'decline, withdraw or expire', true),
  ('scheduled', 'confirmed', 'confirm', true),
  ('confirmed', 'scheduled', 'take a confirmation back', true),
  ('scheduled', 'in_progress', 'join', true),
  ('confirmed', 'in_progress', 'join', true),
  ('scheduled', 'completed', 'finish', true),
  ('confirmed', 'completed', 'finish', true),
  ('in_progress', 'completed', 'finish', true),
  ('scheduled', 'no_show', 'finish', true),
  ('confirmed', 'no_show', 'finish', true),
  ('in_progress', 'no_show', 'finish', true),
  ('scheduled', 'cancelled', 'cancel', true),
  ('confirmed', 'cancelled', 'cancel', true),
  ('in_progress', 'cancelled', 'break off', true),
  ('completed', 'no_show', 'correct', true),
  ('no_show', 'completed', 'correct', true)
on conflict (from_status, to_status) do nothing;

revoke all on session_approval.transitions from public, anon, authenticated, service_role;
grant select on session_approval.transitions to service_role;

comment on table session_approval.transitions is
  'The ways from one status to another of a session that needs approval.';
comment on column session_approval.transitions.from_status is 'The status before.';
comment on column session_approval.transitions.to_status is 'The status afterwards.';
comment on column session_approval.transitions.act is 'What brings it about.';
comment on column session_approval.transitions.by_writing is
  'Whether the session''s people may write it themselves; if not, only the functions do it for them.';

-- sql/functions/room_name.sql
-- The video room's name, a function of the session's id: every retry names the same room, and nothing is
-- orphaned. 34 characters, so that domain and name fit the older limit of 41 for short domains.

create or replace function session_approval.room_name(p_session_id uuid)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$ select 's-' || replace(p_session_id::text, '-', '') $$;

comment on function session_approval.room_name(uuid) is 'The name of a session''s video room.';

revoke all on function session_approval.room_name(uuid) from public, anon, authenticated;
-- sql/views/clients.sql
-- Who can be proposed a session, declared once: everybody active whose account is a client's.

create or replace view session_approval.clients as
select p.id, p.full_name::text as full_name, p.email::text as email
from session_approval.people p
where p.is_active
  and p.user_type::text in ('individual', 'user');

revoke all on session_approval.clients from public, anon, authenticated;

comment on view session_approval.clients is 'The people to whom a therapist may propose sessions.';
-- sql/views/spendable_lots.sql
-- Which credits pay, declared once: a lot counts while it belongs to a client's account, is active, has
-- not expired, and has at least one credit left.

create or replace view session_approval.spendable_lots as
select l.id, l.user_id, l.credits_balance, l.expires_at, l.created_at
from public.user_credits l
where l.user_type in ('individual', 'user')
  and coalesce(l.status, 'active') = 'active'
  and (l.expires_at is null or l.expires_at > now())
  and l.credits_balance >= 1;

revoke all on session_approval.spendable_lots from public, anon, authenticated;

comment on view session_approval.spendable_lots is
  'The lots that can pay for a session at this moment.';
-- sql/views/session_details.sql
-- The public shape of a session, declared once: every function that answers with sessions returns its rows.
--
-- It is granted to nobody. Which rows a caller gets is decided by the function that reads it; a view in an
-- exposed schema would have to leave that to row level security, which an installation may have switched off.
-- A proposal that nobody answered in time reads as cancelled from that moment on, swept or not, and where
-- the room is stays hidden until approval, and for good without one, also when older code wrote it into a
-- waiting row.
--
-- Older installations keep created_at and cancelled_at without a time zone, in UTC. The epoch of a moment is
-- the same number for either type.

create or replace view session_approval.session_details as
select
  s.id,
  s.user_id,
  s.therapist_id,
  s.title::text as title,
  s.description::text as description,
  s.notes::text as notes,
  s.scheduled_date::date as scheduled_date,
  s.scheduled_time::time as scheduled_time,
  s.start_time,
  s.end_time,
  coalesce(
    s.duration_minutes, extract(epoch from s.end_time - s.start_time) / 60
  )::integer as duration_minutes,
  s.session_type::text as session_type,
  case when standing.has_expired then 'cancelled' else s.status::text end as status,
  to_timestamp(extract(epoch from s.created_at)) as created_at,
  coalesce(s.is_instant, false) as is_instant,
  coalesce(s.requires_approval, false) as requires_approval,
  s.created_by,
  s.approval_expires_at,
  s.approved_at,
  s.time_zone,
  case when standing.shows_room then s.session_url::text end as session_url,
  case when standing.shows_room then s.room_name::text end as room_name,
  case when standing.shows_room then s.daily_room_url::text end as daily_room_url,
  case when standing.shows_room then s.daily_room_name::text end as daily_room_name,
  case
    when s.status in ('scheduled', 'confirmed', 'in_progress') then s.start_time - settings.join_early
  end as join_opens_at,
  case
    when standing.has_expired then 'expired'
    else s.cancellation_reason::text
  end as cancellation_reason,
  s.cancelled_by::text as cancelled_by,
  case
    when standing.has_expired then s.approval_expires_at
    else to_timestamp(extract(epoch from s.cancelled_at))
  end as cancelled_at,
  jsonb_build_object(
    'id', s.therapist_id, 'full_name', therapist.full_name, 'email', therapist.email
  ) as therapist,
  jsonb_build_object(
    'id', s.user_id, 'full_name', client.full_name, 'email', client.email
  ) as client
from public.sessions s
cross join session_approval.settings settings
cross join lateral (
  select
    (s.status = 'pending_approval' and s.approval_expires_at <= now()) is true as has_expired,
    s.status <> 'pending_approval'
      and (s.status <> 'cancelled' or s.approved_at is not null) as shows_room
) standing
left join session_approval.people therapist on therapist.id = s.therapist_id
left join session_approval.people client on client.id = s.user_id;

revoke all on session_approval.session_details from public, anon, authenticated;

comment on view session_approval.session_details is
  'The public shape of a session: what create, approve, list and get answer with.';
-- sql/views/session_outcomes.sql
-- What an act on a session answers with: the session, the video room that it needs, and beside them what the
-- act came to, which the functions fill in.
--
-- A proposed instant session has its room made beforehand, open long enough for an approval at the last
-- moment. A session that is over, or will not happen, needs none.

create or replace view session_approval.session_outcomes as
select
  d.*,
  null::integer as credits_balance_after,
  null::boolean as credits_low,
  null::boolean as already_approved,
  null::boolean as refunded,
  null::timestamptz as refund_expires_at,
  null::text as message,
  case
    when room.closes_at > now() then jsonb_build_object(
      'name', session_approval.room_name(d.id),
      'opens_at', floor(extract(epoch from d.join_opens_at))::bigint,
      'closes_at', floor(extract(epoch from room.closes_at))::bigint,
      'max_participants', 2
    )
  end as room
from session_approval.session_details d
cross join lateral (
  select case
    when d.status in ('scheduled', 'confirmed', 'in_progress') then d.end_time
    when d.status = 'pending_approval' and d.is_instant
      then d.approval_expires_at + make_interval(mins => d.duration_minutes)
  end as closes_at
) room;

revoke all on session_approval.session_outcomes from public, anon, authenticated;

comment on view session_approval.session_outcomes is
  'The shape of an act''s answer: a session, credits_balance_after (credits), credits_low (whether that is '
  'settings.low_balance or fewer), already_approved, refunded, refund_expires_at (when the refunded credit '
  'stops paying; null never), message (a sentence for the screen) and room: for any provider, the room to '
  'make (name, opens_at and closes_at in unix seconds, max_participants) or, of a session that has ended, to '
  'remove (name); null where there is none.';
-- sql/views/session_histories.sql
-- One session with everything that happened to it, oldest first: what get_session answers with.

create or replace view session_approval.session_histories as
select
  d.*,
  coalesce(
    (
      select jsonb_agg(
        jsonb_build_object(
          'from_status', e.from_status,
          'to_status', e.to_status,
          'actor_id', e.actor_id,
          'reason', e.reason,
          'created_at', e.created_at
        )
        order by e.id
      )
      from session_approval.session_events e
      where e.session_id = d.id
    ),
    '[]'::jsonb
  ) as events
from session_approval.session_details d;

revoke all on session_approval.session_histories from public, anon, authenticated;

comment on view session_approval.session_histories is
  'A session in its public shape, with events: every change of its status, oldest first.';
-- sql/views/held_sessions.sql
-- Every session that holds its two people's time, whoever made it: what is approved and not over, and by
-- policy (settings.block_pending_slots) a scheduled proposal that can still be answered. A waiting instant
-- one holds nothing: its time is when it is approved.

create or replace view session_approval.held_sessions as
select
  s.id,
  s.user_id,
  s.therapist_id,
  s.title::text as title,
  s.start_time,
  coalesce(s.end_time, s.start_time + make_interval(mins => s.duration_minutes::integer)) as end_time
from public.sessions s
cross join session_approval.settings settings
where s.status in ('scheduled', 'confirmed', 'in_progress')
  or (
    s.status = 'pending_approval'
    and s.is_instant is not true
    and settings.block_pending_slots
    and coalesce(s.approval_expires_at > now(), true)
  );

revoke all on session_approval.held_sessions from public, anon, authenticated;

comment on view session_approval.held_sessions is
  'The sessions that hold the time of their therapist and their client.';
-- sql/views/double_bookings.sql
-- Sessions to come that hold one person at one time: found at install, or inserted past the calendar by other
-- code. They are left as they are; make doctor lists them.

create or replace view session_approval.double_bookings as
with upcoming as materialized (
  select person.id as person_id, h.id as session_id, tstzrange(h.start_time, h.end_time) as during
  from session_approval.held_sessions h
  cross join lateral (values (h.therapist_id), (h.user_id)) as person (id)
  where h.end_time > now()
    and h.start_time < h.end_time
)
select a.person_id, a.session_id, b.session_id as other_session_id, a.during * b.during as during
from upcoming a
join upcoming b
  on b.person_id = a.person_id
 and b.session_id > a.session_id
 and b.during && a.during;

revoke all on session_approval.double_bookings from public, anon, authenticated;

comment on view session_approval.double_bookings is
  'Pairs of sessions to come that hold one person at one time, and the time that they share.';

-- sql/functions/refuse.sql
-- The one way in which a room says no: PostgREST turns the PTxyz state into HTTP status xyz.
--
-- Raising undoes everything the caller's transaction did. Never use 40001: PostgREST before 16 would
-- retry it without end.

create or replace function session_approval.refuse(
  p_status integer,
  p_code text,
  p_message text,
  p_details jsonb default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PT' || p_status,
    message = p_message,
    hint = p_code,
    detail = coalesce(p_details::text, 'null');
end
$$;

comment on function session_approval.refuse(integer, text, text, jsonb) is
  'Raise a refusal: HTTP status, code for programs, sentence for people, details as JSON or null.';

revoke all on function session_approval.refuse(integer, text, text, jsonb)
  from public, anon, authenticated;
-- sql/functions/refuse_unless_pending.sql
-- Refuse to answer a proposal that no longer waits: nobody answered in time, or it was decided already.
--
-- Refusals: 410 SESSION_EXPIRED (details: approval_expires_at), 409 SESSION_NOT_PENDING (details: status,
-- cancellation_reason).

create or replace function session_approval.refuse_unless_pending(
  p_status text,
  p_approval_expires_at timestamptz,
  p_cancellation_reason text
)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if (p_status = 'pending_approval' and p_approval_expires_at <= now())
    or (p_status = 'cancelled' and p_cancellation_reason = 'expired')
  then
    perform session_approval.refuse(
      410, 'SESSION_EXPIRED', 'Nobody answered this request in time',
      jsonb_build_object('approval_expires_at', p_approval_expires_at));
  elsif p_status is distinct from 'pending_approval' then
    perform session_approval.refuse(
      409, 'SESSION_NOT_PENDING', 'Session not found or not pending approval',
      jsonb_build_object('status', p_status, 'cancellation_reason', p_cancellation_reason));
  end if;
end
$$;

comment on function session_approval.refuse_unless_pending(text, timestamptz, text) is
  'Refuse (409, 410) what no longer waits for an answer.';

revoke all on function session_approval.refuse_unless_pending(text, timestamptz, text)
  from public, anon, authenticated;
-- sql/functions/acting_role.sql
-- The database role that the request came in as, also inside a security definer function, where
-- current_user is the function's owner. SET ROLE, which PostgREST uses, is visible in the setting "role".

create or replace function session_approval.acting_role()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case current_setting('role')
    when 'none' then session_user::text
    else current_setting('role')
  end
$$;

comment on function session_approval.acting_role() is
  'The role of the request: anon, authenticated, service_role, or an operator''s own.';

revoke all on function session_approval.acting_role() from public, anon, authenticated;
-- sql/functions/prove_caller.sql
-- Who is acting: proved from the token, never believed from a parameter.
--
-- Whoever comes in can only act as the token's subject, under whatever role. Only service_role and operators,
-- who are members of the role that owns these functions, act for the person they name. Either way that
-- person must exist and be active.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.

create or replace function session_approval.prove_caller(p_user_id uuid)
returns session_approval.people
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_role constant text := session_approval.acting_role();
  v_subject constant uuid := auth.uid();
  v_acts_for_others constant boolean := v_role = 'service_role'
    or pg_has_role(v_role, current_user, 'member');
  v_person session_approval.people;
begin
  if p_user_id is null
    or v_role = 'anon'
    or (not v_acts_for_others and v_subject is null)
  then
    perform session_approval.refuse(401, 'AUTHENTICATION_ERROR', 'Please sign in');
  end if;

  if not v_acts_for_others and p_user_id <> v_subject then
    perform session_approval.refuse(
      403, 'AUTHORIZATION_ERROR', 'You can only act as yourself');
  end if;

  select p.*
  into v_person
  from session_approval.people p
  where p.id = p_user_id;

  if v_person.is_active is not true then
    perform session_approval.refuse(
      403, 'AUTHORIZATION_ERROR', 'This account is not active');
  end if;

  return v_person;
end
$$;

comment on function session_approval.prove_caller(uuid) is
  'The active person who is acting, or 401 or 403.';

revoke all on function session_approval.prove_caller(uuid) from public, anon, authenticated;
-- sql/functions/is_time_zone.sql
-- Whether a name is an IANA time zone. Postgres alone would also take POSIX zones, so that a slip of the
-- finger ("Londn5") becomes five hours west of Greenwich; those are no zone here.

create or replace function session_approval.is_time_zone(p_name text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_name !~ '^([A-Za-z_-]+(/[A-Za-z_-]+)+|Etc/GMT[+-][0-9]{1,2}|UTC|GMT)$' then
    return false;
  end if;

  perform now() at time zone p_name;
  return true;
exception
  when invalid_parameter_value then
    return false;
end
$$;

comment on function session_approval.is_time_zone(text) is
  'Whether this names an IANA time zone, such as Europe/London. Source: the server''s tz database.';

revoke all on function session_approval.is_time_zone(text) from public, anon, authenticated;
-- sql/functions/time_zone_of.sql
-- The time zone in which a person reads times: their own, else the one given, else the installation's.

create or replace function session_approval.time_zone_of(p_person_id uuid, p_otherwise text)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    (
      select p.time_zone
      from session_approval.people p
      where p.id = p_person_id
        and session_approval.is_time_zone(p.time_zone)
    ),
    case when session_approval.is_time_zone(p_otherwise) then p_otherwise end,
    settings.default_time_zone
  )
  from session_approval.settings settings
$$;

comment on function session_approval.time_zone_of(uuid, text) is
  'The IANA time zone in which a person reads times.';

revoke all on function session_approval.time_zone_of(uuid, text) from public, anon, authenticated;
-- sql/functions/local_time_to_instant.sql
-- The instant at which the clocks of a time zone show a local time: null when they never do (the hour that
-- spring skips), the first of the two when they do so twice (the hour that autumn repeats).
--
-- Postgres alone would move a skipped time and take the second of two, so every offset that can apply is
-- tried. Offsets change by at most three hours, in steps of fifteen minutes or more.

create or replace function session_approval.local_time_to_instant(
  p_local timestamp,
  p_time_zone text,
  out instant timestamptz,
  out occurs_twice boolean
)
language sql
stable
security invoker
set search_path = ''
as $$
  select min(candidate.instant), count(*) > 1
  from (
    select (p_local at time zone p_time_zone) - make_interval(mins => step.minutes) as instant
    from generate_series(-180, 180, 15) as step (minutes)
  ) candidate
  where candidate.instant at time zone p_time_zone = p_local
$$;

comment on function session_approval.local_time_to_instant(timestamp, text) is
  'The first instant of a local time in a time zone, null where it does not exist, and whether it '
  'occurs twice.';

revoke all on function session_approval.local_time_to_instant(timestamp, text)
  from public, anon, authenticated;
-- sql/functions/proposed_start.sql
-- When a proposal starts: now for an instant one, else the instant given, else the local time resolved.
--
-- Refusals: 422 NONEXISTENT_LOCAL_TIME, when the clocks of the time zone skip that time.

create or replace function session_approval.proposed_start(
  p_is_instant boolean,
  p_start_time timestamptz,
  p_local timestamp,
  p_time_zone text,
  out start_time timestamptz,
  out occurs_twice boolean
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  start_time := case when p_is_instant then now() else p_start_time end;
  occurs_twice := false;

  if start_time is null then
    select t.instant, t.occurs_twice
    into start_time, occurs_twice
    from session_approval.local_time_to_instant(p_local, p_time_zone) t;
  end if;

  if start_time is null then
    perform session_approval.refuse(
      422, 'NONEXISTENT_LOCAL_TIME',
      format('The clocks in %s skip %s', p_time_zone, to_char(p_local, 'HH24:MI on FMDD FMMonth YYYY')),
      jsonb_build_object('session_time', 'does not exist on that day in ' || p_time_zone));
  end if;
end
$$;

comment on function session_approval.proposed_start(boolean, timestamptz, timestamp, text) is
  'The instant at which a proposal starts, and whether its local time occurs twice.';

revoke all on function session_approval.proposed_start(boolean, timestamptz, timestamp, text)
  from public, anon, authenticated;
-- sql/functions/check_proposal.sql
-- Everything that is wrong with a proposal's fields, told at once: {field: what it must be}, empty when
-- nothing is. Dates and times are looked at only where they are used, in scheduled proposals.

create or replace function session_approval.check_proposal(
  p_therapist_id uuid,
  p_patient_id uuid,
  p_start_time timestamptz,
  p_session_date date,
  p_session_time time,
  p_time_zone text,
  p_duration_minutes integer,
  p_session_type text,
  p_title text,
  p_notes text,
  p_is_instant boolean,
  p_request_key text
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(problem.field, problem.must) filter (where problem.found), '{}')
  from (
    values
      (
        'patient_id',
        'must be a client to whom you can propose sessions',
        p_patient_id is null
          or p_patient_id = p_therapist_id
          or not exists (select from session_approval.clients c where c.id = p_patient_id)
      ),
      (
        'duration_minutes',
        'must be a whole number of minutes from 5 to 480',
        (p_duration_minutes between 5 and 480) is not true
      ),
      (
        'time_zone',
        'must be an IANA time zone, such as Europe/London',
        not session_approval.is_time_zone(p_time_zone)
      ),
      (
        'session_type',
        'must be 1 to 50 characters',
        (length(p_session_type) between 1 and 50) is not true
      ),
      ('title', 'must be at most 200 characters', length(p_title) > 200),
      ('notes', 'must be at most 4000 characters', length(p_notes) > 4000),
      (
        'idempotency_key',
        'must be 1 to 200 characters',
        length(p_request_key) not between 1 and 200
      ),
      (
        'start_time',
        'must be given, or session_date and session_time instead',
        not p_is_instant
          and p_start_time is null
          and p_session_date is null
          and p_session_time is null
      ),
      (
        'start_time',
        'must stand alone, or leave the choice to session_date and session_time',
        not p_is_instant
          and p_start_time is not null
          and (p_session_date is not null or p_session_time is not null)
      ),
      (
        'session_date',
        'must be given together with session_time',
        not p_is_instant and p_session_date is null and p_session_time is not null
      ),
      (
        'session_time',
        'must be given together with session_date',
        not p_is_instant and p_session_time is null and p_session_date is not null
      ),
      (
        'session_date',
        'must be a day of this century or the next',
        not p_is_instant and p_session_date not between '2000-01-01' and '2199-12-31'
      ),
      (
        'start_time',
        'must be a day of this century or the next',
        not p_is_instant and p_start_time not between '2000-01-01' and '2200-01-01'
      )
  ) as problem (field, must, found)
$$;

comment on function session_approval.check_proposal(
  uuid, uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) is 'What is wrong with a proposal''s fields: {field: what it must be}.';

revoke all on function session_approval.check_proposal(
  uuid, uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) from public, anon, authenticated;
-- sql/functions/keep_proposal.sql
-- Write a valid proposal down, or find the one that the same person made under the same key: whoever repeats
-- a proposal gets the session that is there, also after its start.
--
-- Locks: the idempotency key, so that a second request under it waits for the first one's transaction; then
-- both calendars, in the trigger session_approval_slot, unless it is instant.
--
-- Refusals: 422 IDEMPOTENCY_CONFLICT (same key, other content), 409 TIME_SLOT_CONFLICT.

create or replace function session_approval.keep_proposal(
  p_therapist_id uuid,
  p_patient_id uuid,
  p_start_time timestamptz,
  p_duration_minutes integer,
  p_time_zone text,
  p_session_type text,
  p_title text,
  p_notes text,
  p_is_instant boolean,
  p_request_key text
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_session_id uuid;
begin
  insert into public.sessions (
    user_id, therapist_id, created_by, status, requires_approval, is_instant, session_type, title,
    notes, start_time, end_time, duration_minutes, time_zone, scheduled_date, scheduled_time,
    approval_expires_at, request_key
  )
  select
    p_patient_id, p_therapist_id, p_therapist_id, 'pending_approval', true, p_is_instant,
    p_session_type, p_title, p_notes, p_start_time,
    p_start_time + make_interval(mins => p_duration_minutes), p_duration_minutes, p_time_zone,
    (p_start_time at time zone p_time_zone)::date,
    date_trunc('second', p_start_time at time zone p_time_zone)::time,
    case
      when p_is_instant then now() + settings.instant_ttl
      else least(p_start_time, now() + settings.pending_ttl)
    end,
    p_request_key
  from session_approval.settings settings
  on conflict (created_by, request_key) where request_key is not null do nothing
  returning id into v_session_id;

  if not found then
    select s.id
    into v_session_id
    from public.sessions s
    where s.created_by = p_therapist_id
      and s.request_key = p_request_key
      and s.user_id = p_patient_id
      and s.is_instant = p_is_instant
      and (p_is_instant or s.start_time = p_start_time)
      and s.duration_minutes = p_duration_minutes
      and s.session_type = p_session_type
      and s.title = p_title
      and s.notes is not distinct from p_notes;

    if not found then
      perform session_approval.refuse(
        422, 'IDEMPOTENCY_CONFLICT', 'This idempotency key was used for another proposal');
    end if;
  end if;

  return v_session_id;
end
$$;

comment on function session_approval.keep_proposal(
  uuid, uuid, timestamptz, integer, text, text, text, text, boolean, text
) is
  'Insert a proposal, or find the same one under the same key; returns its id. 422 when the key was used '
  'for another one, 409 when the time is taken.';

revoke all on function session_approval.keep_proposal(
  uuid, uuid, timestamptz, integer, text, text, text, text, boolean, text
) from public, anon, authenticated;
-- sql/functions/room_to_remove.sql
-- The room that a session which has ended leaves behind, for whichever provider removes it; null when it had
-- none: rooms are made for approved sessions, and for instant ones already when they are proposed.

create or replace function session_approval.room_to_remove(p_session_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object('name', session_approval.room_name(s.id))
  from public.sessions s
  where s.id = p_session_id
    and (s.approved_at is not null or s.is_instant)
$$;

comment on function session_approval.room_to_remove(uuid) is
  'The room of a session that has ended: name; null where there was none.';

revoke all on function session_approval.room_to_remove(uuid) from public, anon, authenticated;
-- sql/functions/rooms_to_repair.sql
-- What the provider's rooms lack to be those that the sessions need: an act for each room that is not right.
-- p_rooms: what stands there, read before this is asked; name, opens_at, closes_at, max_participants.
--
-- Caller: the owner; python -m scripts.rooms reconcile.
-- make: an approved session, or a proposed instant one, has no room. Another session's, which older code
-- made, has none until somebody joins. mend: its times or its places are not the session's.
-- delete: its session needs no room any more. A room whose session this database has never known is left
-- alone, whatever it is called: the same domain may serve another installation.

create or replace function session_approval.rooms_to_repair(p_rooms jsonb)
returns table (act text, room jsonb)
language sql
stable
security invoker
set search_path = ''
as $$
  with wanted as materialized (
    select o.room, o.approved_at is not null or o.is_instant as is_made_beforehand
    from session_approval.session_outcomes o
    where o.status in ('pending_approval', 'scheduled', 'confirmed', 'in_progress')
      and o.room is not null
  ),
  standing as (
    select
      r.room,
      case
        when r.room ->> 'name' ~ '^s-[0-9a-f]{32}$' then substr(r.room ->> 'name', 3)::uuid
      end as session_id  -- as room_name writes it
    from jsonb_array_elements(p_rooms) r (room)
  )
  select
    case when standing.room is null then 'make' else 'mend' end,
    wanted.room
  from wanted
  left join standing on standing.room -> 'name' = wanted.room -> 'name'
  where case
    when standing.room is null then wanted.is_made_beforehand
    else (wanted.room -> 'closes_at', wanted.room -> 'max_participants')
        is distinct from (standing.room -> 'closes_at', standing.room -> 'max_participants')
      or case
        when wanted.room ->> 'opens_at' is null
          then to_timestamp((standing.room ->> 'opens_at')::bigint) > now()
        else wanted.room -> 'opens_at' is distinct from standing.room -> 'opens_at'
      end is true
  end

  union all

  select 'delete', jsonb_build_object('name', standing.room -> 'name')
  from standing
  where not exists (
      select from wanted where wanted.room -> 'name' = standing.room -> 'name'
    )
    and exists (
      select from session_approval.session_events e where e.session_id = standing.session_id
      union all
      select from public.sessions s where s.id = standing.session_id
    )
$$;

comment on function session_approval.rooms_to_repair(jsonb) is
  'Compares the video provider''s rooms with the sessions: make, mend or delete, and which room.';

revoke all on function session_approval.rooms_to_repair(jsonb) from public, anon, authenticated;
-- sql/functions/note_credit_entry.sql
-- Tell the ledger's trigger what the very next change of a balance in this transaction is for. The trigger
-- takes the note away as it reads it, so that no later change can pass under the same name.

create or replace function session_approval.note_credit_entry(p_note jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$ select set_config('session_approval.credit_entry', p_note::text, true) $$;

comment on function session_approval.note_credit_entry(jsonb) is
  'Name the next balance change: kind, session_id, actor_id, reason, source, reference.';

revoke all on function session_approval.note_credit_entry(jsonb) from public, anon, authenticated;
-- sql/functions/note_status_change.sql
-- Tell the events' trigger who makes the very next change of a status in this transaction, and in which
-- words. The trigger takes the note away as it reads it.
--
-- Refusals: 400 VALIDATION_ERROR (reason too long).

create or replace function session_approval.note_status_change(p_actor_id uuid, p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if length(p_reason) > 1000 then
    perform session_approval.refuse(
      400, 'VALIDATION_ERROR', 'The reason is too long',
      jsonb_build_object('reason', 'must be at most 1000 characters'));
  end if;

  perform set_config(
    'session_approval.status_change',
    jsonb_build_object('actor_id', p_actor_id, 'reason', nullif(btrim(p_reason), ''))::text,
    true);
end
$$;

comment on function session_approval.note_status_change(uuid, text) is
  'Name the actor and the reason of the next change of a status; 400 when the reason is too long.';

revoke all on function session_approval.note_status_change(uuid, text)
  from public, anon, authenticated;
-- sql/functions/spendable_balance.sql
-- How many credits a client can spend now: what an approval would see.

create or replace function session_approval.spendable_balance(p_user_id uuid)
returns integer
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(sum(l.credits_balance), 0)::integer
  from session_approval.spendable_lots l
  where l.user_id = p_user_id
$$;

comment on function session_approval.spendable_balance(uuid) is
  'Credits that a client can spend now.';

revoke all on function session_approval.spendable_balance(uuid) from public, anon, authenticated;
-- sql/functions/debit_one_credit.sql
-- Take exactly one credit from exactly one of a client's lots, for a session, and say which lot paid.
--
-- Burn order: soonest expiry first (none last), then oldest, then id.
-- Locks every lot of the client that can pay, in id order. Locking just the first would not do: a second
-- approval would wait for that row, find it spent, and be refused although another lot could pay.
--
-- Refusals: 402 INSUFFICIENT_CREDITS (details: required, available, short_by; credits).

create or replace function session_approval.debit_one_credit(p_user_id uuid, p_session_id uuid)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_lot_id uuid;
begin
  perform session_approval.note_credit_entry(
    jsonb_build_object('kind', 'approval', 'session_id', p_session_id, 'actor_id', p_user_id));

  update public.user_credits l
  set credits_balance = l.credits_balance - 1
  where l.id = (
    with locked as materialized (
      select k.id, k.expires_at, k.created_at
      from session_approval.spendable_lots k
      where k.user_id = p_user_id
      order by k.id
      for no key update
    )
    select k.id
    from locked k
    order by k.expires_at nulls last, k.created_at, k.id
    limit 1
  )
  returning l.id into v_lot_id;

  if not found then
    perform session_approval.refuse(
      402, 'INSUFFICIENT_CREDITS', 'Insufficient credits',
      jsonb_build_object('required', 1, 'available', 0, 'short_by', 1));
  end if;

  return v_lot_id;
end
$$;

comment on function session_approval.debit_one_credit(uuid, uuid) is
  'Take one credit from the lot that must pay first; returns the lot. 402 when no lot can pay.';

revoke all on function session_approval.debit_one_credit(uuid, uuid)
  from public, anon, authenticated;
-- sql/functions/expire_lot.sql
-- Write off what is left in a lot that has expired: out of the balance, into credits_expired and the ledger.
-- Locks: the lot. A lot that has not expired, or has nothing left, stays as it is.

create or replace function session_approval.expire_lot(p_lot_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform
  from public.user_credits l
  where l.id = p_lot_id
    and l.expires_at <= now()
    and l.credits_balance > 0
  for no key update;

  if not found then
    return;
  end if;

  perform session_approval.note_credit_entry(jsonb_build_object('kind', 'expiry'));

  update public.user_credits l
  set
    credits_expired = coalesce(l.credits_expired, 0) + l.credits_balance,
    credits_balance = 0
  where l.id = p_lot_id;
end
$$;

comment on function session_approval.expire_lot(uuid) is
  'Write off the credits left in a lot that has expired.';

revoke all on function session_approval.expire_lot(uuid) from public, anon, authenticated;
-- sql/functions/add_credits.sql
-- Put credits into a client's wallet: as a lot of their own, or, in an installation that keeps one lot per
-- client (a unique user_id and user_type), on top of that lot.
--
-- The lot is named after the client's account; where the installation's own check does not know that name, by
-- the other one of the two. On top means: what had expired in the lot is written off first, the lot lasts
-- until the later of the two dates, and a lot that was switched off is switched on, since the credits were
-- paid for. A balance below zero, from old bugs, is made up for first.
-- Locks: the lot that is topped up.

create or replace function session_approval.add_credits(
  p_user_id uuid,
  p_amount integer,
  p_expires_at timestamptz,
  p_note jsonb
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_names text[] := array['individual', 'user'];
  v_name text;
  v_lot_id uuid;
begin
  if exists (
    select from session_approval.people p where p.id = p_user_id and p.user_type::text = 'user'
  ) then
    v_names := array['user', 'individual'];
  end if;

  perform session_approval.note_credit_entry(p_note);

  foreach v_name in array v_names loop
    begin
      insert into public.user_credits (user_id, user_type, credits_balance, expires_at)
      values (p_user_id, v_name, p_amount, p_expires_at)
      on conflict do nothing
      returning id into v_lot_id;
      exit;
    exception
      when check_violation then
        if v_name = v_names[2] then
          raise;
        end if;
    end;
  end loop;

  if v_lot_id is not null then
    return v_lot_id;
  end if;

  select l.id
  into v_lot_id
  from public.user_credits l
  where l.user_id = p_user_id
    and l.user_type in ('individual', 'user')
  order by coalesce(l.status, 'active') = 'active' desc, l.user_type = v_name desc, l.id
  limit 1
  for no key update;

  if not found then
    raise exception 'public.user_credits takes no new lot for this person, and has none to top up'
      using errcode = 'unique_violation';
  end if;

  perform session_approval.expire_lot(v_lot_id);
  perform session_approval.note_credit_entry(p_note);

  update public.user_credits l
  set
    credits_balance = coalesce(l.credits_balance, 0) + p_amount,
    status = 'active',
    expires_at = case
      when l.expires_at <= now() then p_expires_at
      when l.expires_at is null or p_expires_at is null then null
      else greatest(l.expires_at, p_expires_at)
    end
  where l.id = v_lot_id;

  return v_lot_id;
end
$$;

comment on function session_approval.add_credits(uuid, integer, timestamptz, jsonb) is
  'Add credits to a client''s wallet, as a new lot or on top of the only one; returns the lot.';

revoke all on function session_approval.add_credits(uuid, integer, timestamptz, jsonb)
  from public, anon, authenticated;
-- sql/functions/refund_one_credit.sql
-- Give the credit that a session took back to the very lot that paid, and say until when it can be used.
--
-- A lot that has expired since gets the installation's grace period for this one credit; whatever else was
-- left in it is written off first, so that a refund never revives it; nor does one switch on a lot that
-- somebody switched off with credits in it. A lot that is gone is made anew, or where a client can have only
-- one, the credit goes into that.
-- Locks: the lot. The caller has locked the session.

create or replace function session_approval.refund_one_credit(
  p_session_id uuid,
  p_actor_id uuid,
  out expires_at timestamptz
)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_note constant jsonb := jsonb_build_object(
    'kind', 'refund', 'session_id', p_session_id, 'actor_id', p_actor_id);
  v_grace constant timestamptz := (
    select now() + settings.refund_grace from session_approval.settings settings
  );
  v_session record;
  v_lot record;
  v_new_lot_id uuid;
begin
  select s.user_id, s.credit_lot_id
  into v_session
  from public.sessions s
  where s.id = p_session_id;

  select l.id, l.expires_at <= now() as has_expired
  into v_lot
  from public.user_credits l
  where l.id = v_session.credit_lot_id
  for no key update;

  if not found then
    v_new_lot_id := session_approval.add_credits(v_session.user_id, 1, v_grace, v_note);

    select l.expires_at into expires_at from public.user_credits l where l.id = v_new_lot_id;

    return;
  end if;

  if v_lot.has_expired then
    perform session_approval.expire_lot(v_lot.id);
  end if;

  perform session_approval.note_credit_entry(v_note);

  update public.user_credits l
  set
    credits_balance = coalesce(l.credits_balance, 0) + 1,
    status = case when coalesce(l.credits_balance, 0) <= 0 then 'active' else l.status end,
    expires_at = case when v_lot.has_expired then v_grace else l.expires_at end
  where l.id = v_lot.id
  returning l.expires_at into expires_at;
end
$$;

comment on function session_approval.refund_one_credit(uuid, uuid) is
  'Return a session''s credit to the lot that paid; when the credit stops paying, null never.';

revoke all on function session_approval.refund_one_credit(uuid, uuid)
  from public, anon, authenticated;
-- sql/functions/cancellation_terms.sql
-- What cancelling a session now would mean for its credit: read by the preview and by the cancellation
-- itself, so that the two cannot disagree.
--
-- The therapist's cancellation always refunds; the client's does until free_cancel_window before the start.
-- What has begun, is over or was called off refunds nothing, and no session refunds twice.

create or replace function session_approval.cancellation_terms(
  p_session_id uuid,
  p_actor_id uuid,
  out refundable boolean,
  out free_until timestamptz,
  out reason text,
  out is_paid boolean
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    terms.is_open and terms.is_paid and (not terms.by_client or now() <= terms.free_until),
    case when terms.is_open and terms.is_paid and terms.by_client then terms.free_until end,
    case
      when not terms.is_open then 'This session can no longer be cancelled.'
      when not terms.is_paid then 'No credit was taken for this session.'
      when not terms.by_client then 'The client gets the credit back.'
      when now() <= terms.free_until then 'You get your credit back.'
      else 'It is too late for a refund: the credit stays spent.'
    end,
    terms.is_paid
  from (
    select
      s.status = 'pending_approval'
        or (s.status in ('scheduled', 'confirmed') and s.end_time > now()) as is_open,
      s.credit_lot_id is not null
        and (
          select
            count(*) filter (where e.kind = 'approval') > count(*) filter (where e.kind = 'refund')
          from session_approval.credit_ledger e
          where e.session_id = s.id
            and e.kind in ('approval', 'refund')
        ) as is_paid,
      s.user_id = p_actor_id as by_client,
      s.start_time - settings.free_cancel_window as free_until
    from public.sessions s
    cross join session_approval.settings settings
    where s.id = p_session_id
  ) terms
$$;

comment on function session_approval.cancellation_terms(uuid, uuid) is
  'Whether cancelling now would refund the credit, until when it is free for the client, and why.';

revoke all on function session_approval.cancellation_terms(uuid, uuid)
  from public, anon, authenticated;
-- sql/functions/end_proposal.sql
-- End a proposal that its caller has locked: declined by the client or withdrawn by the therapist.
-- The same person ending it the same way again gets the same answer.
--
-- Refusals: 409 SESSION_NOT_PENDING (details: status, cancellation_reason), 410 SESSION_EXPIRED,
-- 400 VALIDATION_ERROR (reason too long).

create or replace function session_approval.end_proposal(
  p_session_id uuid,
  p_actor_id uuid,
  p_how text,
  p_reason text
)
returns setof session_approval.session_outcomes
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_session session_approval.session_details;
  v_outcome session_approval.session_outcomes;
begin
  select d.* into v_session from session_approval.session_details d where d.id = p_session_id;

  if (v_session.status = 'cancelled'
    and v_session.cancellation_reason = p_how
    and v_session.cancelled_by = p_actor_id::text) is not true
  then
    perform session_approval.refuse_unless_pending(
      v_session.status, v_session.approval_expires_at, v_session.cancellation_reason);
    perform session_approval.note_status_change(p_actor_id, p_reason);

    update public.sessions s
    set
      status = 'cancelled',
      cancellation_reason = p_how,
      cancelled_by = p_actor_id,
      cancelled_at = now()
    where s.id = p_session_id;
  end if;

  select o.*
  into v_outcome
  from session_approval.session_outcomes o
  where o.id = p_session_id;

  v_outcome.refunded := false;
  v_outcome.message := case p_how
    when 'declined' then 'Session declined.'
    else 'Session withdrawn.'
  end;
  v_outcome.room := session_approval.room_to_remove(p_session_id);

  return next v_outcome;
end
$$;

comment on function session_approval.end_proposal(uuid, uuid, text, text) is
  'End a waiting proposal as declined or withdrawn; refuses with 400, 409, 410.';

revoke all on function session_approval.end_proposal(uuid, uuid, text, text)
  from public, anon, authenticated;
-- sql/functions/expire_proposal.sql
-- Put away a proposal that nobody answered in time. One that was answered meanwhile stays as it is.
-- Locks: the session.

create or replace function session_approval.expire_proposal(p_session_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform
  from public.sessions s
  where s.id = p_session_id
    and s.status = 'pending_approval'
    and s.approval_expires_at <= now()
  for no key update;

  if not found then
    return;
  end if;

  perform session_approval.note_status_change(null, 'Nobody answered in time');

  update public.sessions s
  set
    status = 'cancelled',
    cancellation_reason = 'expired',
    cancelled_at = s.approval_expires_at
  where s.id = p_session_id;
end
$$;

comment on function session_approval.expire_proposal(uuid) is
  'End a proposal whose time to answer is over, as cancelled with the reason expired.';

revoke all on function session_approval.expire_proposal(uuid) from public, anon, authenticated;
-- sql/functions/close_session.sql
-- Close an approved session whose end has passed and that its therapist has not closed: completed when
-- somebody joined it, no_show when nobody did, and then by policy (settings.refund_no_show) the credit goes
-- back.
--
-- The caller has locked the session. Locks: the lot that paid, when the credit goes back.

create or replace function session_approval.close_session(p_session_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_was_joined constant boolean := (
    select s.status = 'in_progress' from public.sessions s where s.id = p_session_id
  );
begin
  if not v_was_joined
    and (select settings.refund_no_show from session_approval.settings settings)
    and (session_approval.cancellation_terms(p_session_id, null)).is_paid
  then
    perform session_approval.refund_one_credit(p_session_id, null);
  end if;

  perform session_approval.note_status_change(
    null, case when v_was_joined then 'Its end has passed' else 'Nobody joined' end);

  update public.sessions s
  set status = case when v_was_joined then 'completed' else 'no_show' end
  where s.id = p_session_id;
end
$$;

comment on function session_approval.close_session(uuid) is
  'End a session whose time is over: completed when somebody joined, no_show when nobody did.';

revoke all on function session_approval.close_session(uuid) from public, anon, authenticated;
-- sql/functions/was_swept.sql
-- Whether the last change of a session's status was nobody's in particular, such as the sweep's.

create or replace function session_approval.was_swept(p_session_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select e.actor_id is null
  from session_approval.session_events e
  where e.session_id = p_session_id
  order by e.id desc
  limit 1
$$;

comment on function session_approval.was_swept(uuid) is
  'Whether nobody in particular made the last change of this session''s status.';

revoke all on function session_approval.was_swept(uuid) from public, anon, authenticated;
-- sql/functions/calendar_key.sql
-- The advisory lock that stands for one person's calendar. Two people may share one by chance, and then
-- merely wait for each other.

create or replace function session_approval.calendar_key(p_person_id uuid)
returns bigint
language sql
immutable
security invoker
set search_path = ''
as $$ select hashtextextended('session_approval.calendar ' || p_person_id::text, 0) $$;

comment on function session_approval.calendar_key(uuid) is
  'The key of the advisory lock on one person''s calendar.';

revoke all on function session_approval.calendar_key(uuid) from public, anon, authenticated;
-- sql/functions/calendar_shelf.sql
-- The first half of the advisory locks by which writers of sessions without approval are found: one of 256
-- numbers, from a range that nobody else is likely to use.

create or replace function session_approval.calendar_shelf(p_person_id uuid)
returns integer
language sql
immutable
security invoker
set search_path = ''
as $$ select 1397899264 + (session_approval.calendar_key(p_person_id) & 255)::integer $$;

comment on function session_approval.calendar_shelf(uuid) is
  'Which of 256 advisory locks'' first halves stands for a person''s calendar.';

revoke all on function session_approval.calendar_shelf(uuid) from public, anon, authenticated;
-- sql/functions/announce_older_write.sql
-- Tell whoever decides about these people's time that a session without approval is being written: they wait
-- until its transaction ends, and see it. Its writer waits for nobody.
--
-- The advisory lock is this transaction's own, (the shelf of the calendar, the transaction's number), so that
-- nobody can be in its way; lock_calendars looks for it. Calendars share 256 shelves, so that an import of
-- any size takes no more locks than that.

create or replace function session_approval.announce_older_write(p_people uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select pg_try_advisory_xact_lock(
    session_approval.calendar_shelf(p.id),
    (pg_current_xact_id()::text::bigint % 2147483648)::integer)
  from unnest(p_people) p (id)
$$;

comment on function session_approval.announce_older_write(uuid[]) is
  'Let whoever decides about these people''s time wait for this transaction.';

revoke all on function session_approval.announce_older_write(uuid[]) from public, anon, authenticated;
-- sql/functions/lock_calendars.sql
-- Wait until nobody else is deciding about these people's time, and keep it so until the transaction ends.
-- Locks: each person's calendar, in id order. Then it waits for the writers of sessions without approval who
-- are under way (announce_older_write); those who come later find that this one came first.

create or replace function session_approval.lock_calendars(p_people uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_person_id uuid;
  v_older record;
begin
  for v_person_id in select distinct p.id from unnest(p_people) p (id) order by p.id loop
    perform pg_advisory_xact_lock(session_approval.calendar_key(v_person_id));
  end loop;

  for v_older in
    select distinct l.classid::bigint::integer as shelf, l.objid::bigint::integer as transaction
    from pg_catalog.pg_locks l
    join pg_catalog.pg_database d on d.oid = l.database
    join unnest(p_people) p (id) on session_approval.calendar_shelf(p.id) = l.classid::bigint
    where d.datname = current_database()
      and l.locktype = 'advisory'
      and l.objsubid = 2
      and l.mode = 'ExclusiveLock'
      and l.granted
      and l.pid is distinct from pg_backend_pid()
    order by 1, 2
  loop
    perform pg_advisory_xact_lock_shared(v_older.shelf, v_older.transaction);
  end loop;
end
$$;

comment on function session_approval.lock_calendars(uuid[]) is
  'Lock these people''s calendars until the transaction ends.';

revoke all on function session_approval.lock_calendars(uuid[]) from public, anon, authenticated;
-- sql/functions/holds_between.sql
-- Whether a session holds its two people's time at any moment between two.

create or replace function session_approval.holds_between(
  p_session_id uuid,
  p_from timestamptz,
  p_until timestamptz
)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from session_approval.held_sessions h
    where h.id = p_session_id
      and h.start_time < p_until
      and h.end_time > p_from
  )
$$;

comment on function session_approval.holds_between(uuid, timestamptz, timestamptz) is
  'Whether a session holds time between two moments.';

revoke all on function session_approval.holds_between(uuid, timestamptz, timestamptz)
  from public, anon, authenticated;
-- sql/functions/busy_sessions.sql
-- The sessions that hold the time of one of these people between two moments, whoever made them.
--
-- Those that came through approval are found by their bookings; the others by their start, from a day before
-- on: no session is longer than that.

create or replace function session_approval.busy_sessions(
  p_people uuid[],
  p_from timestamptz,
  p_until timestamptz
)
returns setof session_approval.held_sessions
language sql
stable
security invoker
set search_path = ''
as $$
  select h.*
  from session_approval.held_sessions h
  where h.start_time < p_until
    and h.end_time > p_from
    and h.id in (
      select b.session_id
      from session_approval.bookings b
      where b.person_id = any (p_people)
        and b.during && tstzrange(p_from, p_until)

      union

      select s.id
      from public.sessions s
      where (s.therapist_id = any (p_people) or s.user_id = any (p_people))
        and s.start_time < p_until
        and s.start_time > p_from - interval '1 day'
    )
$$;

comment on function session_approval.busy_sessions(uuid[], timestamptz, timestamptz) is
  'The sessions that hold the time of one of these people between two moments.';

revoke all on function session_approval.busy_sessions(uuid[], timestamptz, timestamptz)
  from public, anon, authenticated;
-- sql/functions/conflicting_sessions.sql
-- The sessions that are in the way of a new one, earliest first, as JSON. Everybody learns the times; which
-- session it is, and with whom, only the therapist who gives it.

create or replace function session_approval.conflicting_sessions(
  p_viewer_id uuid,
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_except_id uuid
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object('start_time', h.start_time, 'end_time', h.end_time)
        || case
          when h.therapist_id = p_viewer_id then jsonb_build_object(
            'id', h.id,
            'title', h.title,
            'client_name', (
              select p.full_name from session_approval.people p where p.id = h.user_id
            )
          )
          else '{}'
        end
      order by h.start_time, h.id
    ),
    '[]'
  )
  from session_approval.settings settings
  cross join lateral session_approval.busy_sessions(
    p_people, p_start_time - settings.buffer, p_end_time + settings.buffer) h
  where h.id is distinct from p_except_id
$$;

comment on function session_approval.conflicting_sessions(
  uuid, uuid[], timestamptz, timestamptz, uuid
) is 'What is in the way of a session of these people at this time: [{start_time, end_time}], and for the '
  'therapist whose session it is also id, title and client_name.';

revoke all on function session_approval.conflicting_sessions(
  uuid, uuid[], timestamptz, timestamptz, uuid
) from public, anon, authenticated;
-- sql/functions/free_times.sql
-- Up to five times at which all of these people are free, nearest to the wanted one first, as JSON. They lie
-- on quarters of an hour, in the future, within a week of it.
--
-- A start is taken when it lies within an open range around a session: from just after the latest start that
-- ends in time for it, until just before it, and its buffer, are over.

create or replace function session_approval.free_times(
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_except_id uuid,
  p_time_zone text
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with taken as materialized (
    select range_agg(
      tstzrange(
        h.start_time - settings.buffer - (p_end_time - p_start_time), h.end_time + settings.buffer,
        '()')
    ) as starts
    from session_approval.settings settings
    cross join lateral session_approval.busy_sessions(
      p_people,
      p_start_time - interval '7 days 15 minutes' - settings.buffer,
      p_end_time + interval '7 days' + settings.buffer) h
    where h.id is distinct from p_except_id
      and h.start_time < h.end_time
  ),
  nearest as (
    select quarter.at
    from generate_series(
      date_bin('15 minutes', p_start_time - interval '7 days', '2000-01-01 00:00+00'),
      p_start_time + interval '7 days',
      '15 minutes'
    ) quarter (at)
    cross join taken
    where quarter.at > now()
      and (taken.starts @> quarter.at) is not true
    order by abs(extract(epoch from quarter.at - p_start_time)), quarter.at
    limit 5
  )
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'time', n.at,
        'label', to_char(n.at at time zone p_time_zone, 'Dy FMDD Mon, HH24:MI')
      )
      order by abs(extract(epoch from n.at - p_start_time)), n.at
    ),
    '[]'
  )
  from nearest n
$$;

comment on function session_approval.free_times(uuid[], timestamptz, timestamptz, uuid, text) is
  'Up to five free times near the wanted one: [{time, label}], the label in the given time zone.';

revoke all on function session_approval.free_times(uuid[], timestamptz, timestamptz, uuid, text)
  from public, anon, authenticated;
-- sql/functions/refuse_if_taken.sql
-- Refuse a session at a time at which one of its people is taken, and say what is in the way and when all of
-- them are free. Labels are in the caller's own time zone, or else in the one given.
--
-- Refusals: 409 TIME_SLOT_CONFLICT (details: conflicting_sessions, suggested_times).

create or replace function session_approval.refuse_if_taken(
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_except_id uuid,
  p_time_zone text
)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_conflicts constant jsonb := session_approval.conflicting_sessions(
    auth.uid(), p_people, p_start_time, p_end_time, p_except_id);
begin
  if v_conflicts <> '[]' then
    perform session_approval.refuse(
      409, 'TIME_SLOT_CONFLICT', 'Time slot is already booked',
      jsonb_build_object(
        'conflicting_sessions', v_conflicts,
        'suggested_times', session_approval.free_times(
          p_people, p_start_time, p_end_time, p_except_id,
          session_approval.time_zone_of(auth.uid(), p_time_zone))
      ));
  end if;
end
$$;

comment on function session_approval.refuse_if_taken(uuid[], timestamptz, timestamptz, uuid, text) is
  'Refuse (409) a time at which one of these people is taken.';

revoke all on function session_approval.refuse_if_taken(uuid[], timestamptz, timestamptz, uuid, text)
  from public, anon, authenticated;
-- sql/functions/hold_slot.sql
-- Take the time of a session's two people for it, or refuse. What it held before is given back first; where
-- it holds just this already, nothing is locked and nothing changes.
--
-- Locks: the sessions that hold the time no longer give it back: proposals that ran out, and those that the
-- same statement has moved elsewhere. Then the two calendars; whoever decides about one of these people's time
-- waits. In this order, because whoever moves a session has locked it before it comes here. What a session
-- holds is changed only by whoever has locked the session.
--
-- Refusals: 409 TIME_SLOT_CONFLICT (details: conflicting_sessions, suggested_times).

create or replace function session_approval.hold_slot(
  p_session_id uuid,
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_time_zone text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_during constant tstzrange := tstzrange(p_start_time, p_end_time);
  v_people constant uuid[] := (
    select array_agg(distinct p.id order by p.id) from unnest(p_people) p (id) where p.id is not null
  );
  v_stale_id uuid;
begin
  if v_people = (
    select array_agg(b.person_id order by b.person_id)
    from session_approval.bookings b
    where b.session_id = p_session_id
      and b.during = v_during
  ) then
    return;
  end if;

  for v_stale_id in
    select distinct b.session_id
    from session_approval.bookings b
    where b.person_id = any (v_people)
      and b.during && v_during
      and b.session_id <> p_session_id
      and not session_approval.holds_between(b.session_id, p_start_time, p_end_time)
    order by b.session_id
  loop
    perform from public.sessions s where s.id = v_stale_id for no key update;
    perform session_approval.expire_proposal(v_stale_id);

    delete from session_approval.bookings b
    where b.session_id = v_stale_id
      and not session_approval.holds_between(v_stale_id, p_start_time, p_end_time);
  end loop;

  perform session_approval.lock_calendars(v_people);

  perform session_approval.refuse_if_taken(
    v_people, p_start_time, p_end_time, p_session_id, p_time_zone);

  delete from session_approval.bookings b where b.session_id = p_session_id;

  insert into session_approval.bookings (session_id, person_id, during)
  select p_session_id, p.id, v_during
  from unnest(v_people) p (id);
end
$$;

comment on function session_approval.hold_slot(uuid, uuid[], timestamptz, timestamptz, text) is
  'Hold these people''s time for a session; 409 when one of them is taken.';

revoke all on function session_approval.hold_slot(uuid, uuid[], timestamptz, timestamptz, text)
  from public, anon, authenticated;

-- sql/functions/create_custom_session.sql
-- A therapist proposes a session; it waits as pending_approval and costs nothing until approved.
--
-- Caller: an active therapist, as the token's subject.
-- Changes: inserts one session. Locks: its idempotency key and, for a scheduled one, both people's calendars,
-- whose time it holds (the trigger session_approval_slot).
-- A scheduled proposal comes as p_start_time, or as the clock on the wall shows it: p_session_date,
-- p_session_time and p_time_zone (default: the installation's). An instant one needs no time; its clock
-- starts on approval. The same person proposing the same under the same p_request_key gets the same session.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR, 409 TIME_SLOT_CONFLICT (details: conflicting_sessions, suggested_times),
-- 422 IDEMPOTENCY_CONFLICT (same key, other content), 422 NONEXISTENT_LOCAL_TIME.

create or replace function session_approval.create_custom_session(
  p_patient_id uuid,
  p_start_time timestamptz,
  p_session_date date,
  p_session_time time,
  p_time_zone text,
  p_duration_minutes integer,
  p_session_type text,
  p_title text,
  p_notes text,
  p_is_instant boolean,
  p_request_key text
)
returns setof session_approval.session_outcomes
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_is_instant constant boolean := coalesce(p_is_instant, false);
  v_session_type constant text := btrim(p_session_type);
  v_title constant text := coalesce(
    nullif(btrim(p_title), ''),
    case when v_is_instant then 'Instant session' else 'Custom session' end);
  v_time_zone constant text := coalesce(
    p_time_zone, (select settings.default_time_zone from session_approval.settings settings));
  v_problems jsonb;
  v_start record;
  v_session_id uuid;
  v_outcome session_approval.session_outcomes;
begin
  if v_caller.user_type is distinct from 'therapist' then
    perform session_approval.refuse(
      403, 'AUTHORIZATION_ERROR', 'Only a therapist can propose a session');
  end if;

  v_problems := session_approval.check_proposal(
    v_caller.id, p_patient_id, p_start_time, p_session_date, p_session_time, p_time_zone,
    p_duration_minutes, v_session_type, v_title, p_notes, v_is_instant, p_request_key);
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The proposal is not valid', v_problems);
  end if;

  v_start := session_approval.proposed_start(
    v_is_instant, p_start_time, case when not v_is_instant then p_session_date + p_session_time end,
    v_time_zone);

  -- A retry that arrives after the start still finds its session.
  if not v_is_instant
    and v_start.start_time <= now()
    and not exists (
      select
      from public.sessions s
      where s.created_by = v_caller.id
        and s.request_key = p_request_key
    )
  then
    perform session_approval.refuse(
      400, 'VALIDATION_ERROR', 'The proposal is not valid',
      jsonb_build_object(
        case when p_start_time is null then 'session_time' else 'start_time' end,
        'must be in the future'));
  end if;

  v_session_id := session_approval.keep_proposal(
    v_caller.id, p_patient_id, v_start.start_time, p_duration_minutes, v_time_zone, v_session_type,
    v_title, p_notes, v_is_instant, p_request_key);

  select o.*
  into v_outcome
  from session_approval.session_outcomes o
  where o.id = v_session_id;

  v_outcome.message := 'Session proposed. Waiting for the client''s approval.' || case
    when v_start.occurs_twice then ' That time occurs twice on that day; the first one was taken.'
    else ''
  end;

  return next v_outcome;
end
$$;

create or replace function public.create_custom_session(
  p_patient_id uuid,
  p_start_time timestamptz default null,
  p_session_date date default null,
  p_session_time time default null,
  p_time_zone text default null,
  p_duration_minutes integer default 30,
  p_session_type text default 'video',
  p_title text default null,
  p_notes text default null,
  p_is_instant boolean default false,
  p_request_key text default null
)
returns setof session_approval.session_outcomes
language sql
volatile
security invoker
set search_path = ''
as $$
  select *
  from session_approval.create_custom_session(
    p_patient_id, p_start_time, p_session_date, p_session_time, p_time_zone, p_duration_minutes,
    p_session_type, p_title, p_notes, p_is_instant, p_request_key)
$$;

comment on function public.create_custom_session(
  uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) is
  'Propose a session to a client, as the signed-in therapist: scheduled (p_start_time, or p_session_date, '
  'p_session_time and p_time_zone) or instant. Returns the session. Refuses with 400, 401, 403, 409, 422.';
comment on function session_approval.create_custom_session(
  uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) is 'The room behind public.create_custom_session.';

revoke all on function public.create_custom_session(
  uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) from public, anon, authenticated, service_role;
revoke all on function session_approval.create_custom_session(
  uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) from public, anon, authenticated, service_role;
grant execute on function public.create_custom_session(
  uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) to authenticated, service_role;
grant execute on function session_approval.create_custom_session(
  uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) to authenticated, service_role;
-- sql/functions/approve_session_and_deduct_credit.sql
-- The client approves: exactly one credit leaves exactly one lot and the session becomes scheduled, or
-- confirmed when it is instant; all in one transaction, or nothing.
--
-- Caller: the session's client, as the token's subject; service_role and operators for the client they name.
-- Changes: one session, one lot, one ledger row, one event.
-- Locks: the session, then the client's lots that can pay in id order, so that approvals of one client
-- queue behind each other and none is refused while another lot would do. A proposal that holds its time
-- already locks no calendar; an instant one locks both before the lots.
-- Approving again answers the same with already_approved, and takes nothing.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours),
-- 409 SESSION_NOT_PENDING (details: status, cancellation_reason), 410 SESSION_EXPIRED,
-- 402 INSUFFICIENT_CREDITS (details: required, available, short_by),
-- 409 TIME_SLOT_CONFLICT (one of the two is taken by now; details: conflicting_sessions, suggested_times).

create or replace function session_approval.approve_session_and_deduct_credit(
  p_session_id uuid,
  p_user_id uuid
)
returns setof session_approval.session_outcomes
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(p_user_id);
  v_room_name constant text := session_approval.room_name(p_session_id);
  v_session record;
  v_already_approved boolean;
  v_lot_id uuid;
  v_restart timestamptz;
  v_outcome session_approval.session_outcomes;
begin
  select
    s.status, s.is_instant, s.approved_at, s.approval_expires_at, s.cancellation_reason,
    s.therapist_id, case when s.is_instant then now() else s.start_time end as start_time,
    case when s.is_instant then now() else s.start_time end + coalesce(
      case when s.is_instant is not true then s.end_time - s.start_time end,
      make_interval(mins => s.duration_minutes::integer), s.end_time - s.start_time) as end_time,
    coalesce(s.time_zone, settings.default_time_zone) as time_zone,
    settings.low_balance,
    settings.video_base_url || '/' || v_room_name as room_url
  into v_session
  from public.sessions s
  cross join session_approval.settings settings
  where s.id = p_session_id
    and s.user_id = v_caller.id
  for no key update of s;

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found or not pending approval');
  end if;

  v_already_approved := v_session.approved_at is not null
    and v_session.status not in ('pending_approval', 'cancelled');

  if not v_already_approved then
    perform session_approval.refuse_unless_pending(
      v_session.status, v_session.approval_expires_at, v_session.cancellation_reason);

    v_restart := case when v_session.is_instant then v_session.start_time end;

    if v_session.start_time < v_session.end_time then
      perform session_approval.hold_slot(
        p_session_id, array[v_session.therapist_id, v_caller.id], v_session.start_time,
        v_session.end_time, v_session.time_zone);
    end if;

    v_lot_id := session_approval.debit_one_credit(v_caller.id, p_session_id);

    perform session_approval.note_status_change(v_caller.id, null);

    update public.sessions s
    set
      status = case when s.is_instant then 'confirmed' else 'scheduled' end,
      approved_at = now(),
      credit_lot_id = v_lot_id,
      session_url = coalesce(v_session.room_url, s.session_url),
      daily_room_url = coalesce(v_session.room_url, s.daily_room_url),
      room_name = v_room_name,
      daily_room_name = v_room_name,
      start_time = v_session.start_time,
      end_time = case when s.is_instant then v_session.end_time else s.end_time end,
      scheduled_date = coalesce(
        (v_restart at time zone v_session.time_zone)::date, s.scheduled_date::date),
      scheduled_time = coalesce(
        date_trunc('second', v_restart at time zone v_session.time_zone)::time, s.scheduled_time::time)
    where s.id = p_session_id;
  end if;

  select o.* into v_outcome from session_approval.session_outcomes o where o.id = p_session_id;

  v_outcome.credits_balance_after := session_approval.spendable_balance(v_caller.id);
  v_outcome.credits_low := v_outcome.credits_balance_after <= v_session.low_balance;
  v_outcome.already_approved := v_already_approved;
  v_outcome.message := case
    when v_outcome.is_instant then 'Session approved! You can join immediately.'
    else 'Session approved successfully.'
  end;

  return next v_outcome;
end
$$;

create or replace function public.approve_session_and_deduct_credit(
  p_session_id uuid,
  p_user_id uuid default auth.uid()
)
returns setof session_approval.session_outcomes
language sql
volatile
security invoker
set search_path = ''
as $$
  select * from session_approval.approve_session_and_deduct_credit(p_session_id, p_user_id)
$$;

comment on function public.approve_session_and_deduct_credit(uuid, uuid) is
  'Approve a session as its client and pay for it with one credit; safe to repeat. Returns the session with '
  'credits_balance_after, credits_low and already_approved. Refuses with 401, 402, 403, 404, 409, 410.';
comment on function session_approval.approve_session_and_deduct_credit(uuid, uuid) is
  'The room behind public.approve_session_and_deduct_credit.';

revoke all on function public.approve_session_and_deduct_credit(uuid, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.approve_session_and_deduct_credit(uuid, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.approve_session_and_deduct_credit(uuid, uuid)
  to authenticated, service_role;
grant execute on function session_approval.approve_session_and_deduct_credit(uuid, uuid)
  to authenticated, service_role;
-- sql/functions/decline_session.sql
-- The client says no to a proposal. It ends as cancelled, with the reason 'declined'; no credit moves.
--
-- Caller: the session's client, as the token's subject. Locks: the session. Repeating it answers the same.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours),
-- 409 SESSION_NOT_PENDING, 410 SESSION_EXPIRED, 400 VALIDATION_ERROR (reason too long).

create or replace function session_approval.decline_session(p_session_id uuid, p_reason text)
returns setof session_approval.session_outcomes
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  perform
  from public.sessions s
  where s.id = p_session_id
    and s.user_id = v_caller.id
  for no key update;

  if not found then
    perform session_approval.refuse(
      404, 'SESSION_NOT_FOUND', 'Session not found or not pending approval');
  end if;

  return query
  select * from session_approval.end_proposal(p_session_id, v_caller.id, 'declined', p_reason);
end
$$;

create or replace function public.decline_session(p_session_id uuid, p_reason text default null)
returns setof session_approval.session_outcomes
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.decline_session(p_session_id, p_reason) $$;

comment on function public.decline_session(uuid, text) is
  'Decline a proposed session, as its client, with a reason in your own words if you like. Returns the '
  'session. Refuses with 400, 401, 403, 404, 409, 410.';
comment on function session_approval.decline_session(uuid, text) is
  'The room behind public.decline_session.';

revoke all on function public.decline_session(uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.decline_session(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.decline_session(uuid, text) to authenticated, service_role;
grant execute on function session_approval.decline_session(uuid, text)
  to authenticated, service_role;
-- sql/functions/cancel_session.sql
-- Either person calls a session off. While it waits for approval that is the therapist withdrawing it (or the
-- client declining it), and no credit moves; once approved, the credit goes back by cancellation_terms.
--
-- Caller: the session's client or therapist, as the token's subject.
-- Locks: the session, then the lot that paid. The same person repeating it gets the same answer.
--
-- Refusals: 400 VALIDATION_ERROR (reason too long), 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
-- 404 SESSION_NOT_FOUND (absent or not yours), 409 SESSION_NOT_CANCELLABLE (begun, over, or called off by
-- the other; details: status, cancellation_reason), of a proposal 409 SESSION_NOT_PENDING and 410
-- SESSION_EXPIRED.

create or replace function session_approval.cancel_session(p_session_id uuid, p_reason text)
returns setof session_approval.session_outcomes
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_session record;
  v_how text;
  v_outcome session_approval.session_outcomes;
begin
  select s.status, s.user_id, s.end_time, s.cancellation_reason
  into v_session
  from public.sessions s
  where s.id = p_session_id
    and v_caller.id in (s.user_id, s.therapist_id)
  for no key update;

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;

  if v_session.status = 'pending_approval'
    or (
      v_session.status = 'cancelled'
      and v_session.cancellation_reason in ('declined', 'withdrawn', 'expired')
    )
  then
    return query
    select *
    from session_approval.end_proposal(
      p_session_id, v_caller.id,
      case when v_caller.id = v_session.user_id then 'declined' else 'withdrawn' end,
      p_reason);
    return;
  end if;

  v_how := case
    when v_caller.id = v_session.user_id then 'cancelled_by_client'
    else 'cancelled_by_therapist'
  end;

  if v_session.status in ('scheduled', 'confirmed') and v_session.end_time > now() then
    if (session_approval.cancellation_terms(p_session_id, v_caller.id)).refundable then
      perform session_approval.refund_one_credit(p_session_id, v_caller.id);
    end if;

    perform session_approval.note_status_change(v_caller.id, p_reason);

    update public.sessions s
    set
      status = 'cancelled',
      cancellation_reason = v_how,
      cancelled_by = v_caller.id,
      cancelled_at = now()
    where s.id = p_session_id;
  elsif (v_session.status = 'cancelled' and v_session.cancellation_reason = v_how) is not true then
    perform session_approval.refuse(
      409, 'SESSION_NOT_CANCELLABLE', 'This session can no longer be cancelled',
      jsonb_build_object(
        'status', v_session.status, 'cancellation_reason', v_session.cancellation_reason));
  end if;

  select o.*
  into v_outcome
  from session_approval.session_outcomes o
  where o.id = p_session_id;

  select l.expires_at
  into v_outcome.refund_expires_at
  from session_approval.credit_ledger e
  left join public.user_credits l on l.id = e.lot_id
  where e.session_id = p_session_id
    and e.kind = 'refund';

  v_outcome.refunded := found;
  v_outcome.message := 'Session cancelled.'
    || case when v_outcome.refunded then ' The credit was refunded.' else '' end;
  v_outcome.room := session_approval.room_to_remove(p_session_id);

  if v_outcome.user_id = v_caller.id then
    v_outcome.credits_balance_after := session_approval.spendable_balance(v_caller.id);
  end if;

  return next v_outcome;
end
$$;

create or replace function public.cancel_session(p_session_id uuid, p_reason text default null)
returns setof session_approval.session_outcomes
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.cancel_session(p_session_id, p_reason) $$;

comment on function public.cancel_session(uuid, text) is
  'Call a session off, as its client or therapist: withdrawn while it waits, refunded by policy once '
  'approved. Returns the session with refunded. Refuses with 400, 401, 403, 404, 409, 410.';
comment on function session_approval.cancel_session(uuid, text) is
  'The room behind public.cancel_session.';

revoke all on function public.cancel_session(uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.cancel_session(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.cancel_session(uuid, text) to authenticated, service_role;
grant execute on function session_approval.cancel_session(uuid, text) to authenticated, service_role;
-- sql/functions/preview_cancellation.sql
-- What calling a session off now would mean for its credit, before anybody confirms.
--
-- Caller: the session's client or therapist, as the token's subject. The cancellation itself reads the same
-- terms, so that within one instant the two agree.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours).

create or replace function session_approval.preview_cancellation(p_session_id uuid)
returns table (refundable boolean, free_until timestamptz, reason text)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  return query
  select t.refundable, t.free_until, t.reason
  from public.sessions s
  cross join lateral session_approval.cancellation_terms(s.id, v_caller.id) t
  where s.id = p_session_id
    and v_caller.id in (s.user_id, s.therapist_id);

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;
end
$$;

create or replace function public.preview_cancellation(p_session_id uuid)
returns table (refundable boolean, free_until timestamptz, reason text)
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.preview_cancellation(p_session_id) $$;

comment on function public.preview_cancellation(uuid) is
  'Whether cancelling one of your sessions now would refund its credit, and until when. '
  'Refuses with 401, 403, 404.';
comment on function session_approval.preview_cancellation(uuid) is
  'The room behind public.preview_cancellation.';

revoke all on function public.preview_cancellation(uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.preview_cancellation(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.preview_cancellation(uuid) to authenticated, service_role;
grant execute on function session_approval.preview_cancellation(uuid) to authenticated, service_role;
-- sql/functions/join_session.sql
-- One of a session's two people joins it: who they are in the room, and for how long it is open to them.
-- The first to join makes the session in_progress.
--
-- Caller: the session's client or therapist, as the token's subject. Locks: the session.
-- Joining is possible from join_early before the start until the end.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours),
-- 409 SESSION_NOT_APPROVED, 409 SESSION_CANCELLED (details: cancellation_reason),
-- 409 SESSION_NOT_OPEN (too early; details: opens_at), 410 SESSION_OVER.

create or replace function session_approval.join_session(p_session_id uuid)
returns table (room jsonb, attendance jsonb, expires_at timestamptz)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_session session_approval.session_details;
begin
  perform
  from public.sessions s
  where s.id = p_session_id
    and v_caller.id in (s.user_id, s.therapist_id)
  for no key update;

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;

  select d.* into v_session from session_approval.session_details d where d.id = p_session_id;

  if v_session.status = 'pending_approval' then
    perform session_approval.refuse(
      409, 'SESSION_NOT_APPROVED', 'This session waits for the client''s approval');
  elsif v_session.status = 'cancelled' then
    perform session_approval.refuse(
      409, 'SESSION_CANCELLED', 'This session was called off',
      jsonb_build_object('cancellation_reason', v_session.cancellation_reason));
  elsif v_session.status in ('completed', 'no_show') or v_session.end_time <= now() then
    perform session_approval.refuse(410, 'SESSION_OVER', 'This session is over');
  elsif (v_session.join_opens_at <= now()) is not true then
    perform session_approval.refuse(
      409, 'SESSION_NOT_OPEN', 'This session cannot be joined yet',
      jsonb_build_object('opens_at', v_session.join_opens_at));
  end if;

  if v_session.status <> 'in_progress' then
    perform session_approval.note_status_change(v_caller.id, null);

    update public.sessions s set status = 'in_progress' where s.id = p_session_id;
  end if;

  return query
  select
    r.room,
    jsonb_build_object(
      'room_name', r.room -> 'name',
      'user_id', v_caller.id,
      'user_name', coalesce(v_caller.full_name, 'Guest'),
      'is_owner', v_caller.id = v_session.therapist_id,
      'opens_at', r.room -> 'opens_at',
      'expires_at', r.room -> 'closes_at'
    ),
    v_session.end_time
  from session_approval.session_outcomes r
  where r.id = p_session_id;
end
$$;

create or replace function public.join_session(p_session_id uuid)
returns table (room jsonb, attendance jsonb, expires_at timestamptz)
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.join_session(p_session_id) $$;

comment on function public.join_session(uuid) is
  'Join one of your sessions: what its room must be, and who you are in it. '
  'Refuses with 401, 403, 404, 409, 410.';
comment on function session_approval.join_session(uuid) is 'The room behind public.join_session.';

revoke all on function public.join_session(uuid) from public, anon, authenticated, service_role;
revoke all on function session_approval.join_session(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.join_session(uuid) to authenticated, service_role;
grant execute on function session_approval.join_session(uuid) to authenticated, service_role;
-- sql/functions/finish_session.sql
-- The therapist says how a session ended: it took place (completed), or nobody came (no_show).
--
-- Caller: the session's therapist, as the token's subject. Locks: the session.
-- From its start on; saying the same again answers the same. What the sweep closed, not knowing better, is
-- corrected; a credit that went back stays back.
--
-- Refusals: 400 VALIDATION_ERROR (outcome), 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
-- 404 SESSION_NOT_FOUND (absent or not yours), 409 SESSION_NOT_FINISHABLE (details: status).

create or replace function session_approval.finish_session(p_session_id uuid, p_outcome text)
returns setof session_approval.session_outcomes
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_session record;
  v_outcome session_approval.session_outcomes;
begin
  if (p_outcome in ('completed', 'no_show')) is not true then
    perform session_approval.refuse(
      400, 'VALIDATION_ERROR', 'The outcome is not valid',
      jsonb_build_object('outcome', 'must be completed or no_show'));
  end if;

  select s.status, s.start_time
  into v_session
  from public.sessions s
  where s.id = p_session_id
    and s.therapist_id = v_caller.id
  for no key update;

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;

  if v_session.status = 'in_progress'
    or (v_session.status in ('scheduled', 'confirmed') and v_session.start_time <= now())
    or (
      v_session.status in ('completed', 'no_show')
      and v_session.status <> p_outcome
      and session_approval.was_swept(p_session_id)
    )
  then
    perform session_approval.note_status_change(v_caller.id, null);

    update public.sessions s set status = p_outcome where s.id = p_session_id;
  elsif v_session.status <> p_outcome then
    perform session_approval.refuse(
      409, 'SESSION_NOT_FINISHABLE', 'This session has not begun, or has ended otherwise',
      jsonb_build_object('status', v_session.status));
  end if;

  select o.*
  into v_outcome
  from session_approval.session_outcomes o
  where o.id = p_session_id;

  v_outcome.message := 'Session finished.';
  v_outcome.room := session_approval.room_to_remove(p_session_id);

  return next v_outcome;
end
$$;

create or replace function public.finish_session(p_session_id uuid, p_outcome text default 'completed')
returns setof session_approval.session_outcomes
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.finish_session(p_session_id, p_outcome) $$;

comment on function public.finish_session(uuid, text) is
  'Say how one of your sessions ended, as its therapist: completed or no_show. Returns the session. '
  'Refuses with 400, 401, 403, 404, 409.';
comment on function session_approval.finish_session(uuid, text) is
  'The room behind public.finish_session.';

revoke all on function public.finish_session(uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.finish_session(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.finish_session(uuid, text) to authenticated, service_role;
grant execute on function session_approval.finish_session(uuid, text) to authenticated, service_role;
-- sql/functions/list_pending_sessions.sql
-- The proposals that wait for the caller's answer, newest first.
--
-- Caller: anybody active, as the token's subject; only clients have any.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.

create or replace function session_approval.list_pending_sessions()
returns setof session_approval.session_details
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  return query
  select d.*
  from session_approval.session_details d
  where d.status = 'pending_approval'
    and d.id in (
      select s.id
      from public.sessions s
      where s.user_id = v_caller.id
        and s.status = 'pending_approval'
    )
  order by d.created_at desc, d.id;
end
$$;

create or replace function public.list_pending_sessions()
returns setof session_approval.session_details
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.list_pending_sessions() $$;

comment on function public.list_pending_sessions() is
  'The sessions that wait for your approval, newest first. Refuses with 401, 403.';
comment on function session_approval.list_pending_sessions() is
  'The room behind public.list_pending_sessions.';

revoke all on function public.list_pending_sessions()
  from public, anon, authenticated, service_role;
revoke all on function session_approval.list_pending_sessions()
  from public, anon, authenticated, service_role;
grant execute on function public.list_pending_sessions() to authenticated, service_role;
grant execute on function session_approval.list_pending_sessions() to authenticated, service_role;
-- sql/functions/list_sessions.sql
-- The caller's sessions, as client or therapist: latest start first, or with p_upcoming those that are not
-- over or called off, soonest first.
--
-- Caller: anybody active, as the token's subject. p_before is the id of the last session of the page before;
-- a moment would lose sessions that start at the same one.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR.

create or replace function session_approval.list_sessions(
  p_status text[],
  p_upcoming boolean,
  p_limit integer,
  p_before uuid
)
returns setof session_approval.session_details
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_known constant text[] := array[
    'pending_approval', 'scheduled', 'confirmed', 'in_progress', 'completed', 'no_show', 'cancelled'
  ];
  v_upcoming boolean := coalesce(p_upcoming, false);
  v_before timestamptz;
  v_problems jsonb;
begin
  select d.start_time
  into v_before
  from session_approval.session_details d
  where d.id = p_before
    and v_caller.id in (d.user_id, d.therapist_id);

  v_problems := jsonb_strip_nulls(jsonb_build_object(
    'status', case
      when not p_status <@ v_known then 'must be among ' || array_to_string(v_known, ', ')
    end,
    'limit', case
      when (p_limit between 1 and 100) is not true then 'must be a whole number from 1 to 100'
    end,
    'before', case
      when p_before is not null and not found then 'must be the id of one of your sessions'
    end
  ));
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The filter is not valid', v_problems);
  end if;

  return query
  select d.*
  from session_approval.session_details d
  where (d.user_id = v_caller.id or d.therapist_id = v_caller.id)
    and (p_status is null or d.status = any (p_status))
    and (
      not v_upcoming
      or d.status = 'pending_approval'
      or (d.status in ('scheduled', 'confirmed', 'in_progress') and d.end_time > now())
    )
    and (
      p_before is null
      or case
        when v_upcoming then (d.start_time, d.id) > (v_before, p_before)
        else (d.start_time, d.id) < (v_before, p_before)
      end
    )
  order by
    case when v_upcoming then d.start_time end,
    case when v_upcoming then d.id end,
    d.start_time desc,
    d.id desc
  limit p_limit;
end
$$;

create or replace function public.list_sessions(
  p_status text[] default null,
  p_upcoming boolean default false,
  p_limit integer default 50,
  p_before uuid default null
)
returns setof session_approval.session_details
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.list_sessions(p_status, p_upcoming, p_limit, p_before) $$;

comment on function public.list_sessions(text[], boolean, integer, uuid) is
  'Your sessions, as client or therapist, a page at a time; p_before is the last id of the page before. '
  'Refuses with 400, 401, 403.';
comment on function session_approval.list_sessions(text[], boolean, integer, uuid) is
  'The room behind public.list_sessions.';

revoke all on function public.list_sessions(text[], boolean, integer, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.list_sessions(text[], boolean, integer, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.list_sessions(text[], boolean, integer, uuid)
  to authenticated, service_role;
grant execute on function session_approval.list_sessions(text[], boolean, integer, uuid)
  to authenticated, service_role;
-- sql/functions/get_session.sql
-- One session of the caller's, with everything that happened to it.
--
-- Caller: the session's client or therapist, as the token's subject.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours).

create or replace function session_approval.get_session(p_session_id uuid)
returns setof session_approval.session_histories
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  return query
  select h.*
  from session_approval.session_histories h
  where h.id = p_session_id
    and v_caller.id in (h.user_id, h.therapist_id);

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;
end
$$;

create or replace function public.get_session(p_session_id uuid)
returns setof session_approval.session_histories
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.get_session(p_session_id) $$;

comment on function public.get_session(uuid) is
  'One of your sessions, with its events, oldest first. Refuses with 401, 403, 404.';
comment on function session_approval.get_session(uuid) is 'The room behind public.get_session.';

revoke all on function public.get_session(uuid) from public, anon, authenticated, service_role;
revoke all on function session_approval.get_session(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.get_session(uuid) to authenticated, service_role;
grant execute on function session_approval.get_session(uuid) to authenticated, service_role;
-- sql/functions/check_availability.sql
-- Whether a therapist, and the client in question, are free at a time, and if not what is in the way and when
-- they are: the same as a proposal would be told.
--
-- Caller: an active therapist, as the token's subject. Changes nothing and holds nothing.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR.

create or replace function session_approval.check_availability(
  p_start_time timestamptz,
  p_duration_minutes integer,
  p_exclude_session_id uuid,
  p_patient_id uuid
)
returns table (available boolean, conflicting_sessions jsonb, suggested_times jsonb)
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_people constant uuid[] := array_remove(array[v_caller.id, p_patient_id], null);
  v_end_time constant timestamptz := least(p_start_time, '2200-01-01')
    + make_interval(mins => p_duration_minutes);
  v_except_id constant uuid := (
    select s.id
    from public.sessions s
    where s.id = p_exclude_session_id
      and s.therapist_id = v_caller.id
  );
  v_problems jsonb;
begin
  if v_caller.user_type is distinct from 'therapist' then
    perform session_approval.refuse(
      403, 'AUTHORIZATION_ERROR', 'Only a therapist can look into the calendar');
  end if;

  v_problems := jsonb_strip_nulls(jsonb_build_object(
    'start_time', case
      when (p_start_time > now() and p_start_time < '2200-01-01') is not true
        then 'must be in the future'
    end,
    'duration_minutes', case
      when (p_duration_minutes between 5 and 480) is not true
        then 'must be a whole number of minutes from 5 to 480'
    end,
    'patient_id', case
      when p_patient_id = v_caller.id
        or (
          p_patient_id is not null
          and not exists (select from session_approval.clients c where c.id = p_patient_id)
        )
        then 'must be a client to whom you can propose sessions'
    end
  ));
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The question is not valid', v_problems);
  end if;

  conflicting_sessions := session_approval.conflicting_sessions(
    v_caller.id, v_people, p_start_time, v_end_time, v_except_id);
  available := conflicting_sessions = '[]';
  suggested_times := case
    when available then '[]'
    else session_approval.free_times(
      v_people, p_start_time, v_end_time, v_except_id,
      session_approval.time_zone_of(v_caller.id, null))
  end;

  return next;
end
$$;

create or replace function public.check_availability(
  p_start_time timestamptz,
  p_duration_minutes integer default 30,
  p_exclude_session_id uuid default null,
  p_patient_id uuid default null
)
returns table (available boolean, conflicting_sessions jsonb, suggested_times jsonb)
language sql
stable
security invoker
set search_path = ''
as $$
  select *
  from session_approval.check_availability(
    p_start_time, p_duration_minutes, p_exclude_session_id, p_patient_id)
$$;

comment on function public.check_availability(timestamptz, integer, uuid, uuid) is
  'Whether you, a therapist, are free at a time, and the client if you name one; else what is in the way and '
  'up to five free times. Refuses with 400, 401, 403.';
comment on function session_approval.check_availability(timestamptz, integer, uuid, uuid) is
  'The room behind public.check_availability.';

revoke all on function public.check_availability(timestamptz, integer, uuid, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.check_availability(timestamptz, integer, uuid, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.check_availability(timestamptz, integer, uuid, uuid)
  to authenticated, service_role;
grant execute on function session_approval.check_availability(timestamptz, integer, uuid, uuid)
  to authenticated, service_role;
-- sql/functions/list_clients.sql
-- The clients to whom the caller may propose sessions, by name: every active client of the installation.
--
-- Caller: an active therapist, as the token's subject.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.

create or replace function session_approval.list_clients()
returns table (id uuid, full_name text, email text)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  if v_caller.user_type is distinct from 'therapist' then
    perform session_approval.refuse(403, 'AUTHORIZATION_ERROR', 'Only a therapist can list clients');
  end if;

  return query
  select c.id, c.full_name, c.email
  from session_approval.clients c
  where c.id <> v_caller.id
  order by c.full_name, c.id;
end
$$;

create or replace function public.list_clients()
returns table (id uuid, full_name text, email text)
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.list_clients() $$;

comment on function public.list_clients() is
  'The clients to whom you, as a therapist, may propose sessions. Refuses with 401, 403.';
comment on function session_approval.list_clients() is 'The room behind public.list_clients.';

revoke all on function public.list_clients() from public, anon, authenticated, service_role;
revoke all on function session_approval.list_clients()
  from public, anon, authenticated, service_role;
grant execute on function public.list_clients() to authenticated, service_role;
grant execute on function session_approval.list_clients() to authenticated, service_role;
-- sql/functions/get_credits.sql
-- What the caller can spend, lot by lot in the order in which they pay, and the latest 100 changes.
--
-- Caller: anybody active, as the token's subject. Units are credits. total_credits and active_credits are
-- the names that older screens read: all that is in the lots, and what can be spent.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.

create or replace function session_approval.get_credits()
returns table (
  credits_balance integer,
  total_credits integer,
  active_credits integer,
  credits_low boolean,
  lots jsonb,
  history jsonb
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_balance integer := session_approval.spendable_balance(v_caller.id);
begin
  return query
  select
    v_balance,
    (
      select coalesce(sum(l.credits_balance), 0)::integer
      from public.user_credits l
      where l.user_id = v_caller.id
    ),
    v_balance,
    v_balance <= settings.low_balance,
    (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', l.id,
        'credits_balance', l.credits_balance::integer,
        'expires_at', l.expires_at,
        'created_at', to_timestamp(extract(epoch from l.created_at)),
        'is_spendable', spendable.id is not null
      ) order by l.expires_at nulls last, l.created_at, l.id), '[]')
      from public.user_credits l
      left join session_approval.spendable_lots spendable on spendable.id = l.id
      where l.user_id = v_caller.id
        and l.credits_balance <> 0
    ),
    (
      select coalesce(jsonb_agg(to_jsonb(h) order by h.id desc), '[]')
      from (
        select
          e.id, e.kind, e.delta, e.balance_after, e.lot_id, e.session_id, s.title as session_title,
          e.reason, e.created_at
        from session_approval.credit_ledger e
        left join public.sessions s on s.id = e.session_id
        where e.user_id = v_caller.id
        order by e.id desc
        limit 100
      ) h
    )
  from session_approval.settings settings;
end
$$;

create or replace function public.get_credits()
returns table (
  credits_balance integer,
  total_credits integer,
  active_credits integer,
  credits_low boolean,
  lots jsonb,
  history jsonb
)
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.get_credits() $$;

comment on function public.get_credits() is
  'Your credits: the balance an approval would see, each lot, and the latest changes. '
  'Refuses with 401, 403.';
comment on function session_approval.get_credits() is 'The room behind public.get_credits.';

revoke all on function public.get_credits() from public, anon, authenticated, service_role;
revoke all on function session_approval.get_credits()
  from public, anon, authenticated, service_role;
grant execute on function public.get_credits() to authenticated, service_role;
grant execute on function session_approval.get_credits() to authenticated, service_role;

-- sql/functions/grant_credits.sql
-- Credits that were bought or given: for payment webhooks and operators.
--
-- Caller: service_role, or the owner. Changes: one lot, one ledger row. Locks: the reference, then the lot.
-- One reference of one source is one grant: repeating it answers the same and adds nothing. Expiry and reason
-- do not make another grant of it, for whoever repeats may reckon them anew.
-- An account that is not active is credited too: the money has been paid.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 404 PERSON_NOT_FOUND,
-- 422 IDEMPOTENCY_CONFLICT (same source and reference, other person or amount).

create or replace function session_approval.grant_credits(
  p_user_id uuid,
  p_amount integer,
  p_source text,
  p_reference text,
  p_expires_at timestamptz,
  p_reason text
)
returns table (
  lot_id uuid,
  credits_granted integer,
  expires_at timestamptz,
  credits_balance integer,
  already_granted boolean
)
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_source constant text := btrim(p_source);
  v_reference constant text := btrim(p_reference);
  v_problems jsonb;
  v_entry record;
  v_lot_id uuid;
begin
  -- Two grants under one reference take turns; transaction-level, so that poolers may stand between.
  perform pg_advisory_xact_lock(
    hashtextextended('session_approval.grant_credits:' || v_source || ':' || v_reference, 0));

  select e.lot_id, e.user_id, e.delta
  into v_entry
  from session_approval.credit_ledger e
  where e.source = v_source
    and e.reference = v_reference
    and e.kind = 'grant';

  if not found then
    v_problems := jsonb_strip_nulls(jsonb_build_object(
      'amount', case
        when (p_amount between 1 and 100000) is not true then 'must be 1 to 100000 credits'
      end,
      'source', case
        when (length(v_source) between 1 and 200) is not true then 'must be 1 to 200 characters'
      end,
      'reference', case
        when (length(v_reference) between 1 and 200) is not true
          then 'must be 1 to 200 characters'
      end,
      'expires_at', case when p_expires_at <= now() then 'must be in the future' end
    ));
    if v_problems <> '{}' then
      perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The grant is not valid', v_problems);
    end if;

    perform from session_approval.people p where p.id = p_user_id;
    if not found then
      perform session_approval.refuse(404, 'PERSON_NOT_FOUND', 'There is no such person');
    end if;

    v_lot_id := session_approval.add_credits(
      p_user_id, p_amount, p_expires_at, jsonb_build_object(
        'kind', 'grant', 'actor_id', auth.uid(), 'reason', p_reason, 'source', v_source,
        'reference', v_reference));
  elsif (v_entry.user_id, v_entry.delta) is distinct from (p_user_id, p_amount) then
    perform session_approval.refuse(
      422, 'IDEMPOTENCY_CONFLICT', 'This reference was used for another grant');
  end if;

  return query
  select
    coalesce(v_lot_id, v_entry.lot_id), p_amount, l.expires_at,
    session_approval.spendable_balance(p_user_id), v_lot_id is null
  from (select) as one_row
  left join public.user_credits l on l.id = coalesce(v_lot_id, v_entry.lot_id);
end
$$;

create or replace function public.grant_credits(
  p_user_id uuid,
  p_amount integer,
  p_source text,
  p_reference text,
  p_expires_at timestamptz default null,
  p_reason text default null
)
returns table (
  lot_id uuid,
  credits_granted integer,
  expires_at timestamptz,
  credits_balance integer,
  already_granted boolean
)
language sql
volatile
security invoker
set search_path = ''
as $$
  select *
  from session_approval.grant_credits(
    p_user_id, p_amount, p_source, p_reference, p_expires_at, p_reason)
$$;

comment on function public.grant_credits(uuid, integer, text, text, timestamptz, text) is
  'Add bought or given credits to a person''s wallet, once per source and reference; safe to repeat. For '
  'service_role. Refuses with 400, 404, 422.';
comment on function session_approval.grant_credits(uuid, integer, text, text, timestamptz, text) is
  'The room behind public.grant_credits.';

revoke all on function public.grant_credits(uuid, integer, text, text, timestamptz, text)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.grant_credits(uuid, integer, text, text, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.grant_credits(uuid, integer, text, text, timestamptz, text)
  to service_role;
grant execute on function session_approval.grant_credits(uuid, integer, text, text, timestamptz, text)
  to service_role;
-- sql/functions/adjust_credits.sql
-- Correct one lot's balance, with the reason and the person who answers for it.
--
-- Caller: service_role, or the owner. Changes: one lot, one ledger row. Locks: the lot.
-- A correction downwards never takes a lot below zero.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 404 LOT_NOT_FOUND,
-- 409 CREDITS_BELOW_ZERO (details: credits_balance).

create or replace function session_approval.adjust_credits(
  p_lot_id uuid,
  p_delta integer,
  p_reason text,
  p_actor_id uuid
)
returns table (lot_id uuid, user_id uuid, credits_balance integer)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_problems jsonb := jsonb_strip_nulls(jsonb_build_object(
    'delta', case
      when coalesce(p_delta, 0) = 0 then 'must be the credits to add, or to take when negative'
    end,
    'reason', case
      when (length(btrim(p_reason)) between 1 and 1000) is not true
        then 'must be 1 to 1000 characters'
    end,
    'actor_id', case
      when not exists (select from session_approval.people p where p.id = p_actor_id)
        then 'must be the id of a person'
    end
  ));
  v_balance integer;
begin
  if v_problems <> '{}' then
    perform session_approval.refuse(
      400, 'VALIDATION_ERROR', 'The adjustment is not valid', v_problems);
  end if;

  select coalesce(l.credits_balance, 0)
  into v_balance
  from public.user_credits l
  where l.id = p_lot_id
  for no key update;

  if not found then
    perform session_approval.refuse(404, 'LOT_NOT_FOUND', 'There is no such lot');
  elsif p_delta < 0 and v_balance + p_delta < 0 then
    perform session_approval.refuse(
      409, 'CREDITS_BELOW_ZERO', 'The lot does not have that many credits',
      jsonb_build_object('credits_balance', v_balance));
  end if;

  perform session_approval.note_credit_entry(jsonb_build_object(
    'kind', 'external', 'actor_id', p_actor_id, 'reason', p_reason, 'source', 'adjust_credits'));

  return query
  update public.user_credits l
  set credits_balance = v_balance + p_delta
  where l.id = p_lot_id
  returning l.id, l.user_id, l.credits_balance::integer;
end
$$;

create or replace function public.adjust_credits(
  p_lot_id uuid,
  p_delta integer,
  p_reason text,
  p_actor_id uuid
)
returns table (lot_id uuid, user_id uuid, credits_balance integer)
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.adjust_credits(p_lot_id, p_delta, p_reason, p_actor_id) $$;

comment on function public.adjust_credits(uuid, integer, text, uuid) is
  'Correct a lot''s balance by so many credits, with a reason and the person who answers for it. For '
  'service_role. Refuses with 400, 404, 409.';
comment on function session_approval.adjust_credits(uuid, integer, text, uuid) is
  'The room behind public.adjust_credits.';

revoke all on function public.adjust_credits(uuid, integer, text, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.adjust_credits(uuid, integer, text, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.adjust_credits(uuid, integer, text, uuid) to service_role;
grant execute on function session_approval.adjust_credits(uuid, integer, text, uuid) to service_role;
-- sql/functions/sweep_sessions.sql
-- Put away what time has ended: proposals that nobody answered, approved sessions whose end has passed, and
-- clients' credits that have expired. Sessions and lots of other kinds are the application's own affair.
--
-- Caller: service_role, or the owner; every minute or so. Nothing depends on it being punctual, for every
-- function treats an expired proposal as cancelled and an expired lot as spent.
-- At most 500 of each at a time, skipping what somebody else has locked, so that it can run from two places
-- and beside approvals: call it again while it answers with 500. Credits go back in the order of their lots,
-- which is the order in which an approval locks them.

create or replace function session_approval.sweep_sessions()
returns table (sessions_expired integer, lots_expired integer, sessions_closed integer)
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_id uuid;
begin
  sessions_expired := 0;
  lots_expired := 0;
  sessions_closed := 0;

  for v_id in
    select s.id
    from public.sessions s
    where s.status = 'pending_approval'
      and s.approval_expires_at <= now()
    order by s.approval_expires_at
    limit 500
    for no key update skip locked
  loop
    perform session_approval.expire_proposal(v_id);

    sessions_expired := sessions_expired + 1;
  end loop;

  for v_id in
    with due as materialized (
      select s.id, s.credit_lot_id
      from public.sessions s
      where s.requires_approval
        and s.status in ('scheduled', 'confirmed', 'in_progress')
        and s.end_time <= now() - (
          select settings.finish_after from session_approval.settings settings
        )
      order by s.end_time
      limit 500
      for no key update skip locked
    )
    select due.id
    from due
    order by due.credit_lot_id, due.id
  loop
    perform session_approval.close_session(v_id);

    sessions_closed := sessions_closed + 1;
  end loop;

  for v_id in
    select l.id
    from public.user_credits l
    where l.expires_at <= now()
      and l.credits_balance > 0
      and l.user_type in ('individual', 'user')
    order by l.id
    limit 500
    for no key update skip locked
  loop
    perform session_approval.expire_lot(v_id);

    lots_expired := lots_expired + 1;
  end loop;

  return next;
end
$$;

create or replace function public.sweep_sessions()
returns table (sessions_expired integer, lots_expired integer, sessions_closed integer)
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.sweep_sessions() $$;

comment on function public.sweep_sessions() is
  'Cancel proposals that nobody answered in time and write off expired credits, up to 500 of each. For '
  'service_role.';
comment on function session_approval.sweep_sessions() is 'The room behind public.sweep_sessions.';

revoke all on function public.sweep_sessions() from public, anon, authenticated, service_role;
revoke all on function session_approval.sweep_sessions()
  from public, anon, authenticated, service_role;
grant execute on function public.sweep_sessions() to service_role;
grant execute on function session_approval.sweep_sessions() to service_role;
-- sql/functions/record_video_event.sql
-- What the video provider tells of a session's room ({id, type, payload, event_ts}): kept once, by the
-- event's own id, and the session follows it. No credit moves.
--
-- Caller: service_role, or the owner; the API's webhook, which has checked the signature.
-- Changes: one row of video_events, and where it matters the session. Locks: the session.
-- Answers recorded = false, and does nothing, for an event that is repeated, of another kind, or of a room
-- that belongs to no session here.
--
-- Events come late and in any order, so each is judged by its own time and together with those before it.
-- One of the session's own people coming in while it can be joined makes it in_progress. A meeting that has
-- ended completes it once its end is reached, and not before: whoever drops out of a call for a minute and
-- comes back must not find it over. The end counts from its whole second on, when the room closes.
--
-- Refusals: 400 VALIDATION_ERROR (no id, or no time).

create or replace function session_approval.record_video_event(p_event jsonb)
returns table (recorded boolean)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_type constant text := p_event ->> 'type';
  v_payload constant jsonb := p_event -> 'payload';
  v_session_id constant uuid := case  -- as room_name writes it
    when v_payload ->> 'room' ~ '^s-[0-9a-f]{32}$' then substr(v_payload ->> 'room', 3)
  end;
  v_user_id constant uuid := case
    when v_payload ->> 'user_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      then v_payload ->> 'user_id'
  end;
  v_at constant timestamptz := to_timestamp(coalesce(
    case v_type
      when 'meeting.started' then v_payload ->> 'start_ts'
      when 'meeting.ended' then v_payload ->> 'end_ts'
      when 'participant.joined' then v_payload ->> 'joined_at'
    end,
    p_event ->> 'event_ts')::float8);
  v_session record;
begin
  select
    s.status, s.end_time, s.start_time - settings.join_early as opens_at,
    v_user_id in (s.user_id, s.therapist_id) as is_theirs
  into v_session
  from public.sessions s
  cross join session_approval.settings settings
  where s.id = v_session_id
  for no key update of s;

  recorded := (
    found
    and v_type in ('meeting.started', 'participant.joined', 'participant.left', 'meeting.ended')
  ) is true;

  if recorded then
    if p_event ->> 'id' is null or v_at is null then
      perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The event has no id, or no time');
    end if;

    insert into session_approval.video_events (id, session_id, type, user_id, occurred_at)
    values (p_event ->> 'id', v_session_id, v_type, v_user_id, v_at)
    on conflict (id) do nothing;

    recorded := found;
  end if;

  if recorded
    and v_type = 'participant.joined'
    and v_session.is_theirs
    and v_session.status in ('scheduled', 'confirmed')
    and v_at >= v_session.opens_at
    and v_at < v_session.end_time
  then
    perform session_approval.note_status_change(v_user_id, 'Came into the video room');

    update public.sessions s set status = 'in_progress' where s.id = v_session_id;

    v_session.status := 'in_progress';
  end if;

  if recorded
    and v_session.status = 'in_progress'
    and exists (
      select
      from session_approval.video_events e
      where e.session_id = v_session_id
        and e.type = 'meeting.ended'
        and greatest(e.occurred_at, now()) >= date_trunc('second', v_session.end_time)
    )
  then
    perform session_approval.note_status_change(null, 'The video meeting ended');

    update public.sessions s set status = 'completed' where s.id = v_session_id;
  end if;

  return next;
end
$$;

create or replace function public.record_video_event(p_event jsonb)
returns table (recorded boolean)
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.record_video_event(p_event) $$;

comment on function public.record_video_event(jsonb) is
  'Keep what the video provider tells of a session''s room, once per event; the session follows it. Says '
  'whether it was kept. For service_role. Refuses with 400.';
comment on function session_approval.record_video_event(jsonb) is
  'The room behind public.record_video_event.';

revoke all on function public.record_video_event(jsonb)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.record_video_event(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.record_video_event(jsonb) to service_role;
grant execute on function session_approval.record_video_event(jsonb) to service_role;
-- sql/functions/reconcile_credits.sql
-- What does not add up between lots, ledger and sessions: no rows when everything does. It changes nothing.
--
-- Caller: service_role, or the owner. Reads every lot and the whole ledger: minutes on millions of rows.
-- It reads one snapshot, so that approvals under way neither disturb it nor are disturbed.
-- Sessions that were approved before there was a ledger, by older code, are not its business.

create or replace function session_approval.reconcile_credits()
returns table (
  problem text,
  lot_id uuid,
  user_id uuid,
  session_id uuid,
  expected integer,
  found integer
)
language sql
stable
security definer
set search_path = ''
as $$
  with sums as (
    select
      e.lot_id, sum(e.delta)::integer as credits,
      (array_agg(e.user_id order by e.id desc))[1] as user_id
    from session_approval.credit_ledger e
    group by e.lot_id
  ),
  approvals as (
    select s.id, s.credit_lot_id
    from public.sessions s
    where to_timestamp(extract(epoch from s.approved_at))
      >= (select min(e.created_at) from session_approval.credit_ledger e)
  ),
  debits as (
    select e.session_id, e.lot_id, count(*)::integer as taken
    from session_approval.credit_ledger e
    where e.kind = 'approval'
    group by e.session_id, e.lot_id
  ),
  refunds as (
    select
      e.session_id, min(e.lot_id::text)::uuid as lot_id, min(e.user_id::text)::uuid as user_id,
      count(*)::integer as returned
    from session_approval.credit_ledger e
    where e.kind = 'refund'
    group by e.session_id
  )
  select
    case
      when l.id is null then 'a lot is gone, and its ledger has credits left'
      else 'a balance differs from its ledger'
    end,
    coalesce(l.id, sums.lot_id), coalesce(l.user_id, sums.user_id), null::uuid,
    coalesce(sums.credits, 0), coalesce(l.credits_balance, 0)::integer
  from public.user_credits l
  full join sums on sums.lot_id = l.id
  where coalesce(sums.credits, 0) <> coalesce(l.credits_balance, 0)::integer

  union all
  select 'a balance is negative', l.id, l.user_id, null, 0, l.credits_balance::integer
  from public.user_credits l
  where l.credits_balance < 0

  union all
  select
    case
      when a.id is null then 'a session was charged to a lot that it does not say'
      when d.taken is null then 'an approved session was not charged to the lot that it says'
      else 'a session was charged more than once'
    end,
    coalesce(a.credit_lot_id, d.lot_id), s.user_id, s.id, (a.id is not null)::integer,
    coalesce(d.taken, 0)
  from approvals a
  full join debits d
    on d.session_id = a.id
   and d.lot_id = a.credit_lot_id
  join public.sessions s on s.id = coalesce(a.id, d.session_id)
  where coalesce(d.taken, 0) <> (a.id is not null)::integer

  union all
  select
    'a session was refunded more often than charged', r.lot_id, r.user_id, r.session_id,
    coalesce(charged.taken, 0), r.returned
  from refunds r
  left join (
    select d.session_id, sum(d.taken)::integer as taken
    from debits d
    group by d.session_id
  ) charged on charged.session_id = r.session_id
  where r.returned > coalesce(charged.taken, 0)
$$;

create or replace function public.reconcile_credits()
returns table (
  problem text,
  lot_id uuid,
  user_id uuid,
  session_id uuid,
  expected integer,
  found integer
)
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.reconcile_credits() $$;

comment on function public.reconcile_credits() is
  'What does not add up between credits, ledger and sessions, in credits; no rows when all is well. For '
  'service_role.';
comment on function session_approval.reconcile_credits() is
  'The room behind public.reconcile_credits.';

revoke all on function public.reconcile_credits() from public, anon, authenticated, service_role;
revoke all on function session_approval.reconcile_credits()
  from public, anon, authenticated, service_role;
grant execute on function public.reconcile_credits() to service_role;
grant execute on function session_approval.reconcile_credits() to service_role;

-- sql/triggers/sessions_guard.sql
-- A session that needs approval is moved by the functions alone: people with a token cannot write past them,
-- whatever row level security lets through. service_role and the owner can; what they do is recorded.
--
-- What is left to those roles: the changes of status that session_approval.transitions leaves to them, and to
-- write what is only told (title, notes). Its therapist may move an approved session, as existing screens do;
-- its client may not, who could move it to where cancelling is free again.
--
-- The trigger's condition sees the role that writes: a person's when the write came straight from one, the
-- functions' owner when it came from a function.
--
-- Refusals: 403 AUTHORIZATION_ERROR.

create or replace function session_approval.guard_session()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    if new.requires_approval
      or new.status = 'pending_approval'
      or new.approved_at is not null
      or new.credit_lot_id is not null
    then
      raise sqlstate 'PT403' using
        message = 'A session that needs approval is proposed with create_custom_session',
        hint = 'AUTHORIZATION_ERROR',
        detail = 'null';
    end if;

    return new;
  end if;

  if not (
    old.requires_approval is true
    or new.requires_approval is true
    or old.status = 'pending_approval'
    or new.status = 'pending_approval'
    or (old.approved_at, old.credit_lot_id) is distinct from (new.approved_at, new.credit_lot_id)
  ) then
    return new;
  end if;

  if (
      old.status is distinct from new.status
      and not exists (
        select
        from session_approval.transitions t
        where t.from_status = old.status
          and t.to_status = new.status
          and t.by_writing
      )
    )
    or (
      (old.status = 'pending_approval' or coalesce(auth.uid() = old.user_id, true))
      and (old.start_time, old.end_time, old.duration_minutes)
        is distinct from (new.start_time, new.end_time, new.duration_minutes)
    )
    or (
      old.id, old.user_id, old.therapist_id, old.requires_approval, old.is_instant, old.created_by,
      old.approval_expires_at, old.approved_at, old.credit_lot_id, old.request_key
    ) is distinct from (
      new.id, new.user_id, new.therapist_id, new.requires_approval, new.is_instant, new.created_by,
      new.approval_expires_at, new.approved_at, new.credit_lot_id, new.request_key
    )
  then
    raise sqlstate 'PT403' using
      message = 'A session that needs approval is changed with its own functions only',
      hint = 'AUTHORIZATION_ERROR',
      detail = 'null';
  end if;

  return new;
end
$$;

comment on function session_approval.guard_session() is
  'Refuses (403) a direct write that would approve or revive a session, move it while it waits or as its '
  'client, or change who it belongs to and what paid for it.';

revoke all on function session_approval.guard_session() from public, anon, authenticated;

drop trigger if exists session_approval_guard on public.sessions;
create trigger session_approval_guard
before insert or update on public.sessions
for each row
when (current_user in ('anon', 'authenticated'))
execute function session_approval.guard_session();

comment on trigger session_approval_guard on public.sessions is
  'Sessions that need approval are moved by their functions only.';
-- sql/triggers/sessions_events.sql
-- Every change of a session's status leaves one event, whoever makes it.
--
-- The functions name the actor, or that it was nobody, and the reason beforehand (note_status_change); for
-- anybody else's change the actor is the token's subject, if there is one.

create or replace function session_approval.record_session_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_note jsonb := nullif(current_setting('session_approval.status_change', true), '')::jsonb;
begin
  if v_note is not null then
    perform set_config('session_approval.status_change', '', true);
  end if;

  insert into session_approval.session_events (session_id, from_status, to_status, actor_id, reason)
  values (
    new.id,
    case when tg_op = 'UPDATE' then old.status end,
    new.status,
    case when v_note is null then auth.uid() else (v_note ->> 'actor_id')::uuid end,
    v_note ->> 'reason'
  );

  return null;
end
$$;

comment on function session_approval.record_session_event() is
  'Writes one row of session_events for a new session or a changed status.';

revoke all on function session_approval.record_session_event() from public, anon, authenticated;

drop trigger if exists session_approval_event on public.sessions;
create trigger session_approval_event
after update on public.sessions
for each row
when (old.status is distinct from new.status)
execute function session_approval.record_session_event();

drop trigger if exists session_approval_first_event on public.sessions;
create trigger session_approval_first_event
after insert on public.sessions
for each row execute function session_approval.record_session_event();

comment on trigger session_approval_event on public.sessions is
  'Every change of status leaves a row in session_approval.session_events.';
comment on trigger session_approval_first_event on public.sessions is
  'Every new session leaves a row in session_approval.session_events.';
-- sql/triggers/sessions_slot.sql
-- Every session that came through approval, or waits for it, holds its two people's time while it may still
-- take place, whoever writes it: a write that would double-book one of them is refused.
--
-- Sessions that other code keeps without approval are never refused, and wait for nobody. Their writers only
-- announce themselves to those who decide about the same people's time, so that a proposal that comes second
-- waits and sees them.
--
-- Refusals: 409 TIME_SLOT_CONFLICT (details: conflicting_sessions, suggested_times).

create or replace function session_approval.keep_slot()
returns trigger
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_approved constant text[] := array['scheduled', 'confirmed', 'in_progress'];
  v_end_time timestamptz;
begin
  if tg_op = 'DELETE' then
    delete from session_approval.bookings b where b.session_id = old.id;

    return null;
  end if;

  if new.requires_approval is not true then
    if (new.status = 'pending_approval' or new.status = any (v_approved))
      and coalesce(new.end_time, new.start_time) > now() - interval '1 day'
    then
      perform session_approval.announce_older_write(array[new.therapist_id, new.user_id]);
    end if;
  else
    v_end_time := coalesce(
      new.end_time, new.start_time + make_interval(mins => new.duration_minutes::integer));
  end if;

  -- An approved session that goes on where it is needs no time that it has not; what overlaps since before
  -- there was a calendar, or was inserted past it, must not keep its people from joining.
  if tg_op = 'UPDATE'
    and old.requires_approval
    and new.requires_approval
    and old.status = any (v_approved)
    and new.status = any (v_approved)
    and (old.start_time, old.end_time, old.duration_minutes, old.therapist_id, old.user_id)
      is not distinct from (
        new.start_time, new.end_time, new.duration_minutes, new.therapist_id, new.user_id)
  then
    return null;
  end if;

  if new.requires_approval
    and new.start_time < v_end_time
    and (
      new.status = any (v_approved)
      or (
        new.status = 'pending_approval'
        and new.is_instant is not true
        and (select settings.block_pending_slots from session_approval.settings settings)
      )
    )
  then
    perform session_approval.hold_slot(
      new.id, array[new.therapist_id, new.user_id], new.start_time, v_end_time, new.time_zone);
  elsif tg_op = 'UPDATE' then
    delete from session_approval.bookings b where b.session_id = new.id;
  end if;

  return null;
end
$$;

create or replace function session_approval.clear_slots()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from session_approval.bookings b where true;

  return null;
end
$$;

comment on function session_approval.keep_slot() is
  'Holds the time of a session''s two people, or gives it back; 409 when one of them is taken.';
comment on function session_approval.clear_slots() is 'Gives back all time when sessions are truncated.';

revoke all on function session_approval.keep_slot() from public, anon, authenticated;
revoke all on function session_approval.clear_slots() from public, anon, authenticated;

-- Their names come after those of the events' triggers, which read the note that the change was given before
-- another change, of a proposal that is put away, is noted.
drop trigger if exists session_approval_slot on public.sessions;
create trigger session_approval_slot
after insert or delete on public.sessions
for each row execute function session_approval.keep_slot();

drop trigger if exists session_approval_slot_change on public.sessions;
create trigger session_approval_slot_change
after update on public.sessions
for each row
when (
  (
    old.status, old.start_time, old.end_time, old.duration_minutes, old.therapist_id, old.user_id,
    old.requires_approval, old.is_instant
  ) is distinct from (
    new.status, new.start_time, new.end_time, new.duration_minutes, new.therapist_id, new.user_id,
    new.requires_approval, new.is_instant
  )
)
execute function session_approval.keep_slot();

drop trigger if exists session_approval_slot_truncate on public.sessions;
create trigger session_approval_slot_truncate
after truncate on public.sessions
for each statement execute function session_approval.clear_slots();

comment on trigger session_approval_slot on public.sessions is
  'A session that needs approval holds its two people''s time.';
comment on trigger session_approval_slot_change on public.sessions is
  'A session that needs approval holds its two people''s time.';
comment on trigger session_approval_slot_truncate on public.sessions is
  'Sessions removed by TRUNCATE hold nobody''s time.';

-- What an earlier release or attempt left gets its slots; creating the triggers above has locked out every
-- writer until this transaction ends. Of two that overlap the approved one, then the older, gets the slot.
insert into session_approval.bookings (session_id, person_id, during)
select h.id, person.id, tstzrange(h.start_time, h.end_time)
from session_approval.held_sessions h
join public.sessions s on s.id = h.id
cross join lateral (values (h.therapist_id), (h.user_id)) person (id)
where s.requires_approval
  and h.start_time < h.end_time
  and h.end_time > now()
  and person.id is not null
order by s.status = 'pending_approval', s.created_at, s.id
on conflict do nothing;
-- sql/triggers/sessions_live.sql
-- A session's two people learn of its changes at once, where Supabase Realtime is installed: a broadcast on a
-- private topic of each, 'session_approval:<their id>', event 'session_changed'. It names the session and
-- nothing else; what has become of it the screens ask the API. Where there is no Realtime there is no
-- trigger, and screens look again every few seconds.

create or replace function session_approval.tell_people()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_person_id uuid;
begin
  foreach v_person_id in array array[new.user_id, new.therapist_id] loop
    perform realtime.send(
      jsonb_build_object('session_id', new.id), 'session_changed',
      'session_approval:' || v_person_id::text, true);
  end loop;

  return null;
end
$$;

comment on function session_approval.tell_people() is
  'Tells a session''s two people, by Supabase Realtime, that it has changed.';

revoke all on function session_approval.tell_people() from public, anon, authenticated;

drop trigger if exists session_approval_live on public.sessions;

do $$
begin
  if to_regprocedure('realtime.send(jsonb, text, text, boolean)') is null then
    return;
  end if;

  create trigger session_approval_live
  after insert or update on public.sessions
  for each row execute function session_approval.tell_people();

  comment on trigger session_approval_live on public.sessions is
    'A session''s people learn of its changes by Supabase Realtime.';

  drop policy if exists "People hear of their own sessions" on realtime.messages;
  create policy "People hear of their own sessions"
    on realtime.messages
    for select
    to authenticated
    using (realtime.topic() = 'session_approval:' || (select auth.uid())::text);
exception
  when insufficient_privilege then
    raise warning 'Realtime is installed, but its topics may not be opened: %', sqlerrm;
end
$$;
-- sql/triggers/user_credits_guard.sql
-- Credits are money: nobody with a person's token writes them, whatever grants and policies let through.
--
-- Security invoker, so that current_user is the role that writes: the functions' owner inside a function.
--
-- Refusals: 403 AUTHORIZATION_ERROR.

create or replace function session_approval.guard_credits()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if current_user in ('anon', 'authenticated') then
    raise sqlstate 'PT403' using
      message = 'Credits are changed by the server only',
      hint = 'AUTHORIZATION_ERROR',
      detail = 'null';
  end if;

  return null;
end
$$;

comment on function session_approval.guard_credits() is
  'Refuses (403) every direct write of credits by anon or authenticated.';

revoke all on function session_approval.guard_credits() from public, anon, authenticated;

drop trigger if exists session_approval_guard on public.user_credits;
create trigger session_approval_guard
before insert or update or delete or truncate on public.user_credits
for each statement execute function session_approval.guard_credits();

comment on trigger session_approval_guard on public.user_credits is
  'Nobody with a person''s token writes credits.';
-- sql/triggers/user_credits_ledger.sql
-- Every change of a balance leaves its row in the ledger: by our functions, by the application's own updates,
-- by a DBA, by a lot that appears or goes.
--
-- Our functions say beforehand what the change is for (note_credit_entry). A change without a note is
-- 'external': its actor is the token's subject if there is one, its source the database role.

create or replace function session_approval.record_credit_entry()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_note jsonb := nullif(current_setting('session_approval.credit_entry', true), '')::jsonb;
  v_before constant integer := coalesce(old.credits_balance, 0)::integer;
  v_after constant integer := coalesce(new.credits_balance, 0)::integer;
  -- A lot that changes hands leaves one wallet and enters another.
  v_stays constant boolean := tg_op = 'UPDATE'
    and (old.id, old.user_id) is not distinct from (new.id, new.user_id);
begin
  if v_note is null then
    v_note := jsonb_build_object(
      'kind', 'external', 'actor_id', auth.uid(), 'source', session_approval.acting_role());
  else
    perform set_config('session_approval.credit_entry', '', true);
  end if;

  insert into session_approval.credit_ledger (
    lot_id, user_id, session_id, kind, delta, balance_after, actor_id, reason, source, reference
  )
  select
    change.lot_id, change.user_id, (v_note ->> 'session_id')::uuid, v_note ->> 'kind', change.delta,
    change.balance_after, (v_note ->> 'actor_id')::uuid, v_note ->> 'reason', v_note ->> 'source',
    v_note ->> 'reference'
  from (
    values
      (not v_stays and tg_op <> 'INSERT', old.id, old.user_id, -v_before, 0),
      (
        tg_op <> 'DELETE', new.id, new.user_id,
        case when v_stays then v_after - v_before else v_after end, v_after
      )
  ) change (happened, lot_id, user_id, delta, balance_after)
  where change.happened;

  return null;
end
$$;

create or replace function session_approval.record_truncated_credits()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into session_approval.credit_ledger (
    lot_id, user_id, kind, delta, balance_after, actor_id, source
  )
  select
    l.id, l.user_id, 'external', -coalesce(l.credits_balance, 0)::integer, 0, auth.uid(),
    session_approval.acting_role()
  from public.user_credits l
  order by l.id;

  return null;
end
$$;

comment on function session_approval.record_credit_entry() is
  'Writes the ledger row of a changed balance, or of a lot that appeared, went or changed hands, under the '
  'note that the change was given, or as external.';
comment on function session_approval.record_truncated_credits() is
  'Writes a ledger row for every lot that a TRUNCATE is about to remove.';

revoke all on function session_approval.record_credit_entry() from public, anon, authenticated;
revoke all on function session_approval.record_truncated_credits() from public, anon, authenticated;

drop trigger if exists session_approval_ledger on public.user_credits;
create trigger session_approval_ledger
after insert or delete on public.user_credits
for each row execute function session_approval.record_credit_entry();

-- Not "update of credits_balance": that would miss a balance that another trigger changes.
drop trigger if exists session_approval_ledger_change on public.user_credits;
create trigger session_approval_ledger_change
after update on public.user_credits
for each row
when (
  (old.id, old.user_id, old.credits_balance) is distinct from (new.id, new.user_id, new.credits_balance)
)
execute function session_approval.record_credit_entry();

drop trigger if exists session_approval_ledger_truncate on public.user_credits;
create trigger session_approval_ledger_truncate
before truncate on public.user_credits
for each statement execute function session_approval.record_truncated_credits();

comment on trigger session_approval_ledger on public.user_credits is
  'A lot that appears or goes leaves a row in session_approval.credit_ledger.';
comment on trigger session_approval_ledger_change on public.user_credits is
  'Every changed balance leaves a row in session_approval.credit_ledger.';
comment on trigger session_approval_ledger_truncate on public.user_credits is
  'Lots removed by TRUNCATE leave their rows in session_approval.credit_ledger.';

-- The lots found at install get their opening rows; creating the triggers above has locked out every writer
-- until this transaction ends, so that no change falls between the two.
insert into session_approval.credit_ledger (lot_id, user_id, kind, delta, balance_after)
select
  l.id, l.user_id, 'opening', found.credits, found.credits
from public.user_credits l
cross join lateral (select coalesce(l.credits_balance, 0)::integer as credits) found
where not exists (
  select from session_approval.credit_ledger e where e.lot_id = l.id
)
order by l.created_at, l.id;
-- sql/triggers/credit_ledger_append_only.sql
-- The ledger only grows. Grants keep everybody below the owner out; this keeps the owner from slipping.
--
-- For the rare case in which a row must go (a court says so, say), the owner sets, in the same transaction:
--   set local session_approval.allow_ledger_changes = 'on';

create or replace function session_approval.refuse_ledger_change()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if current_setting('session_approval.allow_ledger_changes', true) is distinct from 'on' then
    raise exception 'session_approval.credit_ledger is append-only'
      using
        errcode = 'restrict_violation',
        hint = 'To change it all the same: '
          'set local session_approval.allow_ledger_changes = ''on'', in the same transaction.';
  end if;

  return coalesce(new, old);
end
$$;

comment on function session_approval.refuse_ledger_change() is
  'Refuses to change or remove ledger rows, unless session_approval.allow_ledger_changes is on.';

revoke all on function session_approval.refuse_ledger_change() from public, anon, authenticated;

drop trigger if exists append_only on session_approval.credit_ledger;
create trigger append_only
before update or delete on session_approval.credit_ledger
for each row execute function session_approval.refuse_ledger_change();

drop trigger if exists append_only_truncate on session_approval.credit_ledger;
create trigger append_only_truncate
before truncate on session_approval.credit_ledger
for each statement execute function session_approval.refuse_ledger_change();

comment on trigger append_only on session_approval.credit_ledger is 'The ledger only grows.';
comment on trigger append_only_truncate on session_approval.credit_ledger is 'The ledger only grows.';

-- sql/policies/sessions.sql
-- Who sees which sessions, where row level security is on. Where it is off it stays off: switching it on
-- would hide rows from readers that work today. To switch it on, enable it and run the install again:
--   alter table public.sessions enable row level security;

do $$
begin
  if not (select c.relrowsecurity from pg_catalog.pg_class c where c.oid = 'public.sessions'::regclass)
  then
    return;
  end if;

  drop policy if exists "People see their own sessions" on public.sessions;
  create policy "People see their own sessions"
    on public.sessions
    for select
    to authenticated
    using ((select auth.uid()) in (user_id, therapist_id));
end
$$;
-- sql/policies/user_credits.sql
-- Who sees which credits, where row level security is on. Where it is off it stays off: switching it on
-- would hide rows from readers that work today. To switch it on, enable it and run the install again:
--   alter table public.user_credits enable row level security;

do $$
begin
  if not (
    select c.relrowsecurity from pg_catalog.pg_class c where c.oid = 'public.user_credits'::regclass
  ) then
    return;
  end if;

  drop policy if exists "Clients see their own credits" on public.user_credits;
  create policy "Clients see their own credits"
    on public.user_credits
    for select
    to authenticated
    using ((select auth.uid()) = user_id);
end
$$;

-- sql/schedule.sql
-- Where pg_cron is installed, the sweep runs every minute by itself; elsewhere python -m scripts.sweep does
-- it.
-- A job of this name is replaced, not added again.

do $$
begin
  if to_regprocedure('cron.schedule(text, text, text)') is not null
    and has_schema_privilege('cron', 'usage')
  then
    perform cron.schedule(
      'session_approval_sweep', '* * * * *', 'select session_approval.sweep_sessions()');
  end if;
end
$$;
-- sql/reload.sql
-- PostgREST learns of the functions at once; where none listens this does nothing.

notify pgrst, 'reload schema';
