-- Columns of the project's own that may not be null: with a default, generated, an identity, or filled by a trigger.

create type public.origin as enum ('web', 'phone', 'import');
create domain public.minutes as integer check (value between 1 and 600);
create table public.clinics (id integer primary key, name text not null);
create table public.users (
  id uuid primary key default gen_random_uuid(),
  email text not null,
  full_name text not null,
  user_type text not null,
  clinic_id integer not null default 1 references public.clinics (id)
);
create table public.sessions (
  id uuid primary key default gen_random_uuid(),
  number bigint generated always as identity,
  user_id uuid not null references public.users (id),
  therapist_id uuid not null references public.users (id),
  clinic_id integer not null references public.clinics (id),
  origin public.origin not null default 'web',
  session_type varchar(40) not null,
  status varchar(50) not null,
  start_time timestamptz not null,
  end_time timestamptz not null,
  duration_minutes public.minutes not null default 50,
  during tstzrange not null generated always as (tstzrange(start_time, end_time)) stored,
  tags text[] not null default '{}',
  extra jsonb not null default '{}',
  created_at timestamptz not null default now(),
  constraint sessions_status_check check (
    status in ('scheduled', 'confirmed', 'in_progress', 'completed', 'no_show', 'cancelled')
  ),
  constraint completed_ones_began check (status <> 'completed' or start_time is not null),
  unique (clinic_id, number)
);
create table public.user_credits (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id),
  user_type text not null check (user_type in ('individual', 'user', 'couple')),
  credits_balance integer not null,
  currency char(3) not null default 'EUR',
  clinic_id integer not null,
  created_at timestamptz not null default now()
);
create function public.fill_clinic() returns trigger language plpgsql as $$
begin
  new.clinic_id := coalesce(new.clinic_id, (select u.clinic_id from public.users u where u.id = new.user_id));
  return new;
end
$$;
create trigger a_clinic before insert on public.sessions for each row execute function public.fill_clinic();
create trigger a_clinic before insert on public.user_credits for each row execute function public.fill_clinic();
create index sessions_tags on public.sessions using gin (tags);
create index sessions_of_today on public.sessions (start_time) where status = 'scheduled';
create statistics sessions_people (dependencies) on user_id, therapist_id from public.sessions;
create view public.upcoming as
  select s.id, s.status, s.start_time, c.name as clinic
  from public.sessions s join public.clinics c on c.id = s.clinic_id where s.status in ('scheduled', 'confirmed');
alter table public.user_credits enable row level security;
create policy "Own lots" on public.user_credits for select using (auth.uid() = user_id);
grant select, insert, update, delete on public.sessions to authenticated;
grant select on public.users, public.user_credits, public.clinics, public.upcoming to authenticated;
grant all on all tables in schema public to service_role;

insert into public.clinics values (1, 'North'), (2, 'South');
insert into public.users (id, email, full_name, user_type, clinic_id) values
  ('00000000-0000-4000-8000-000000000001', 't@example.org', 'Tara', 'therapist', 1),
  ('00000000-0000-4000-8000-000000000002', 'a@example.org', 'Ada', 'individual', 2),
  ('00000000-0000-4000-8000-000000000003', 'b@example.org', 'Ben', 'user', 1);
insert into public.sessions
  (user_id, therapist_id, origin, session_type, status, start_time, end_time, tags, extra, created_at)
select
  ('00000000-0000-4000-8000-00000000000' || 2 + n % 2)::uuid,
  '00000000-0000-4000-8000-000000000001', (array['web', 'phone', 'import'])[1 + n % 3]::public.origin, 'video',
  (array['scheduled', 'confirmed', 'completed', 'cancelled'])[1 + n % 4],
  '2026-01-01 08:00+00'::timestamptz + n * interval '9 hours',
  '2026-01-01 08:50+00'::timestamptz + n * interval '9 hours', array['n' || n % 3],
  jsonb_build_object('n', n), '2025-12-01 12:00+00'
from generate_series(1, 24) n;
insert into public.user_credits (user_id, user_type, credits_balance, created_at) values
  ('00000000-0000-4000-8000-000000000002', 'individual', 6, '2025-12-01'),
  ('00000000-0000-4000-8000-000000000003', 'couple', 3, '2025-12-02');
