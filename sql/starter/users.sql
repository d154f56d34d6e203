-- People: therapists propose, clients (individual or user) approve. The id is the id of the auth user.

create table if not exists public.users (
  id uuid not null default gen_random_uuid(),
  email text not null,
  full_name text not null,
  user_type text not null default 'individual',
  is_active boolean not null default true,
  time_zone text,
  created_at timestamptz not null default now(),
  constraint users_pkey primary key (id),
  constraint users_email_key unique (email),
  constraint user_type_is_known check (user_type in ('individual', 'user', 'therapist', 'partner'))
);

alter table public.users enable row level security;

revoke all on public.users from public, anon, authenticated, service_role;
grant select on public.users to authenticated;
grant all on public.users to service_role;

drop policy if exists "People see themselves" on public.users;
create policy "People see themselves"
  on public.users
  for select
  to authenticated
  using ((select auth.uid()) = id);

comment on table public.users is 'The people who can sign in: therapists and clients.';
comment on column public.users.user_type is 'therapist, individual or user (a client), or partner.';
comment on column public.users.time_zone is 'IANA time zone; null means the installation''s default.';
