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

      insert into session_approval.rollback_notes (kind, name, was, became)
      select
        'check', v_check.conname, v_check.expression, pg_catalog.pg_get_constraintdef(k.oid)
      from pg_catalog.pg_constraint k
      where k.conrelid = 'public.sessions'::regclass
        and k.conname = v_check.conname
      on conflict (kind, name) do update set was = excluded.was, became = excluded.became;
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
