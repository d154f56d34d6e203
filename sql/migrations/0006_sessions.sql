-- What a session needs to be proposed, approved and paid, beside what the application already keeps.
-- Every column is added only where missing; a column that is already there keeps its type and its rows.

do $$
begin
  -- Noted as missing before, and still so.
  if exists (
    select
    from session_approval.install_changes n
    where n.kind = 'column'
      and n.name like 'sessions.%'
      and not exists (
        select
        from pg_catalog.pg_attribute a
        where a.attrelid = 'public.sessions'::regclass
          and a.attname = split_part(n.name, '.', 2)
      )
  ) then
    perform session_approval.lock_tables('access exclusive', 'public.sessions');

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
  end if;
end
$$;

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
