-- Row level security on every table, with the project's own policies, guards and views; timestamptz throughout.

create table public.users (
  id uuid primary key,
  email text not null unique,
  full_name text not null,
  user_type text not null check (user_type in ('therapist', 'individual', 'user', 'admin')),
  is_active boolean not null default true,
  time_zone text default 'Europe/London'
);
create table public.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  therapist_id uuid not null references public.users (id) on delete restrict,
  session_type text not null default 'video' check (session_type in ('video', 'audio', 'chat')),
  status text not null default 'scheduled',
  title text,
  description text,
  start_time timestamptz not null,
  end_time timestamptz not null,
  duration_minutes integer,
  hours numeric generated always as (extract(epoch from end_time - start_time) / 3600) stored,
  daily_room_url text,
  daily_room_name text,
  cancellation_reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint sessions_end check (end_time > start_time),
  constraint sessions_short check (end_time - start_time <= interval '8 hours')
);
create index sessions_by_day on public.sessions (therapist_id, start_time);
create table public.user_credits (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  user_type text not null default 'individual',
  credits_balance integer not null default 0 constraint never_below_zero check (credits_balance >= 0),
  status text not null default 'active',
  expires_at timestamptz,
  created_at timestamptz not null default now()
);

create function public.set_updated_at() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end
$$;
create trigger sessions_updated_at before update on public.sessions
  for each row execute function public.set_updated_at();

alter table public.users enable row level security;
alter table public.sessions enable row level security;
alter table public.user_credits enable row level security;
create policy "Anyone signed in sees people" on public.users for select to authenticated using (true);
create policy "Both see the session" on public.sessions for select to authenticated
  using ((select auth.uid()) in (user_id, therapist_id));
create policy "Therapists keep their calendar" on public.sessions for all to authenticated
  using ((select auth.uid()) = therapist_id) with check ((select auth.uid()) = therapist_id);
create policy "Clients move theirs" on public.sessions for update to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "Own credits" on public.user_credits for select to authenticated using ((select auth.uid()) = user_id);
grant select on public.users to authenticated;
grant select, insert, update, delete on public.sessions to authenticated;
grant select on public.user_credits to authenticated;
grant all on public.users, public.sessions, public.user_credits to service_role;

create view public.upcoming with (security_barrier) as
  select s.id, s.status, s.start_time, u.full_name
  from public.sessions s join public.users u on u.id = s.user_id
  where s.status in ('scheduled', 'confirmed');
create materialized view public.monthly as
  select date_trunc('month', start_time at time zone 'UTC') as month, count(*) from public.sessions group by 1;
grant select on public.upcoming to authenticated;
comment on table public.sessions is 'The calendar.';
comment on column public.sessions.title is 'As the client sees it.';

insert into public.users (id, email, full_name, user_type) values
  ('00000000-0000-4000-8000-000000000001', 't@example.org', 'Tara', 'therapist'),
  ('00000000-0000-4000-8000-000000000002', 'a@example.org', 'Ada', 'individual'),
  ('00000000-0000-4000-8000-000000000003', 'b@example.org', 'Ben', 'user');
insert into public.sessions (user_id, therapist_id, status, title, start_time, end_time, created_at)
select
  ('00000000-0000-4000-8000-00000000000' || case when n % 3 = 0 then 3 else 2 end)::uuid,
  '00000000-0000-4000-8000-000000000001',
  (array['scheduled', 'confirmed', 'completed', 'cancelled', 'no_show'])[1 + n % 5], 'Session ' || n,
  '2026-01-01 10:00+00'::timestamptz + n * interval '1 day',
  '2026-01-01 10:50+00'::timestamptz + n * interval '1 day', '2025-12-01 12:00+00'
from generate_series(1, 20) n;
insert into public.user_credits (user_id, credits_balance, expires_at, created_at) values
  ('00000000-0000-4000-8000-000000000002', 4, null, '2025-12-01'),
  ('00000000-0000-4000-8000-000000000002', 2, '2026-01-15', '2025-12-02'),
  ('00000000-0000-4000-8000-000000000003', 0, null, '2025-12-03');
