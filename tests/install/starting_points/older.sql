-- A project of years ago: varchars, timestamps without a zone, one lot for each client and kind, no row security.

create table public.users (
  id uuid primary key default gen_random_uuid(),
  email varchar(255) unique,
  full_name varchar(100),
  user_type varchar(20) not null,
  created_at timestamp default now()
);
create table public.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id),
  therapist_id uuid not null references public.users (id),
  session_type varchar(20) default 'video',
  status varchar(50) default 'scheduled',
  start_time timestamptz not null,
  end_time timestamptz not null,
  duration integer default 60,
  scheduled_date text,
  scheduled_time varchar(8),
  session_url text,
  room_name varchar(100),
  cancelled_by text,
  cancelled_at timestamp,
  created_at timestamp not null default now(),
  constraint known_states check (
    status in ('scheduled', 'confirmed', 'completed', 'cancelled', 'no_show', 'rescheduled')
  ),
  constraint cancelled_ones_say_when check (status <> 'cancelled' or cancelled_at is not null),
  constraint end_comes_after_start check (end_time > start_time)
);
create table public.user_credits (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id),
  user_type varchar(20) not null,
  credits_balance integer default 0,
  created_at timestamp default now(),
  constraint one_lot_each unique (user_id, user_type)
);
create view public.upcoming as select * from public.sessions where status = 'scheduled';
create function public.touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touch before update on public.sessions
  for each row execute function public.touch();
grant all on public.users, public.sessions, public.user_credits, public.upcoming
  to anon, authenticated, service_role;

insert into public.users (id, email, full_name, user_type) values
  ('00000000-0000-4000-8000-000000000001', 't@example.org', 'Tara', 'therapist'),
  ('00000000-0000-4000-8000-000000000002', 'a@example.org', 'Ada', 'individual'),
  ('00000000-0000-4000-8000-000000000003', 'b@example.org', 'Ben', 'user');
insert into public.sessions
  (user_id, therapist_id, status, start_time, end_time, scheduled_date, scheduled_time,
   cancelled_at, created_at)
select
  '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', s.status,
  '2026-01-01 10:00+00'::timestamptz + s.n * interval '1 day',
  '2026-01-01 11:00+00'::timestamptz + s.n * interval '1 day', '2026-01-0' || s.n, '10:00',
  case when s.status = 'cancelled' then '2026-01-01 09:00'::timestamp end, '2025-12-01 12:00'
from unnest(array['scheduled', 'confirmed', 'completed', 'cancelled', 'rescheduled'])
  with ordinality s (status, n);
insert into public.user_credits (user_id, user_type, credits_balance) values
  ('00000000-0000-4000-8000-000000000002', 'individual', 4),
  ('00000000-0000-4000-8000-000000000003', 'user', -2),
  ('00000000-0000-4000-8000-000000000001', 'therapist', null);
