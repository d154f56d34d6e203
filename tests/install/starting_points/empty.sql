-- The tables of a project that nobody has used yet: no row, no row security, no grants to people.

create table public.users (
  id uuid primary key default gen_random_uuid(),
  email text unique,
  full_name text,
  user_type text not null default 'individual' check (user_type <> '')
);
create table public.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id),
  therapist_id uuid not null references public.users (id),
  session_type text not null default 'video',
  status text not null default 'scheduled',
  start_time timestamptz not null,
  end_time timestamptz not null,
  created_at timestamptz default now()
);
create table public.user_credits (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id),
  user_type text,
  credits_balance integer,
  created_at timestamptz default now()
);
create view public.upcoming as select id, status, start_time from public.sessions where status = 'scheduled';
create function public.stamp() returns trigger language plpgsql as 'begin return new; end';
create trigger stamp before insert on public.sessions for each row execute function public.stamp();
grant select, insert, update, delete on all tables in schema public to service_role;
create policy "For later" on public.sessions using (auth.uid() = user_id);
