-- Sessions between a client (user_id) and a therapist.

create table if not exists public.sessions (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null,
  therapist_id uuid not null,
  session_type text not null default 'video',
  status text not null default 'scheduled',
  start_time timestamptz not null,
  end_time timestamptz not null,
  created_at timestamptz not null default now(),
  constraint sessions_pkey primary key (id),
  constraint sessions_user_id_fkey foreign key (user_id) references public.users (id),
  constraint sessions_therapist_id_fkey foreign key (therapist_id) references public.users (id),
  constraint a_session_ends_after_it_starts check (end_time > start_time),
  constraint sessions_status_check check (
    status in (
      'pending_approval', 'scheduled', 'confirmed', 'in_progress', 'completed', 'no_show',
      'cancelled'
    )
  )
);

alter table public.sessions enable row level security;

revoke all on public.sessions from public, anon, authenticated, service_role;
grant select on public.sessions to authenticated;
grant all on public.sessions to service_role;

comment on table public.sessions is 'Sessions between a client (user_id) and a therapist.';
