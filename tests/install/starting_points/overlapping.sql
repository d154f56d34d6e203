-- What years of races and old bugs leave: double bookings, sessions without an end, negative and missing
-- balances, people who are gone, statuses nobody knows; no checks and no foreign keys.

create table public.users (
  id uuid primary key default gen_random_uuid(),
  email text,
  full_name text,
  user_type text
);
create table public.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  therapist_id uuid,
  session_type text,
  status text,
  start_time timestamptz,
  end_time timestamptz,
  created_at timestamptz
);
create table public.user_credits (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  user_type text,
  credits_balance numeric,
  created_at timestamptz
);
create table public.audit (at timestamptz default '2026-01-01', what text);
create function public.audit() returns trigger language plpgsql security definer as $$
begin
  insert into public.audit (what) values (tg_op || ' ' || tg_table_name);
  return null;
end
$$;
create trigger audit_sessions after insert or update or delete on public.sessions
  for each statement execute function public.audit();
create trigger audit_credits after insert or update or delete on public.user_credits
  for each statement execute function public.audit();
create view public.upcoming as select id, status, start_time from public.sessions where start_time > '2026-01-01';
create view public.balances as select user_id, sum(credits_balance) as balance from public.user_credits group by 1;
create rule "nobody is deleted" as on delete to public.users do instead nothing;
grant all on all tables in schema public to anon, authenticated, service_role;

insert into public.users (id, email, full_name, user_type) values
  ('00000000-0000-4000-8000-000000000001', 't@example.org', 'Tara', 'therapist'),
  ('00000000-0000-4000-8000-000000000002', 'a@example.org', 'Ada', 'individual'),
  ('00000000-0000-4000-8000-000000000003', null, 'Ben', 'user'),
  ('00000000-0000-4000-8000-000000000004', 'a@example.org', null, null);
insert into public.sessions (user_id, therapist_id, session_type, status, start_time, end_time, created_at)
select
  ('00000000-0000-4000-8000-00000000000' || 2 + n % 3)::uuid, '00000000-0000-4000-8000-000000000001',
  case when n % 7 = 0 then null else 'video' end,
  (array['scheduled', 'confirmed', 'completed', 'Cancelled', '', null])[1 + n % 6],
  '2026-01-01 10:00+00'::timestamptz + n % 4 * interval '10 minutes',
  case n % 5
    when 0 then null
    when 1 then '2026-01-01 09:00+00'
    else '2026-01-01 11:00+00'::timestamptz + n * interval '1 minute'
  end,
  case when n % 2 = 0 then '2025-12-01 12:00+00'::timestamptz end
from generate_series(1, 30) n;
insert into public.sessions (user_id, therapist_id, session_type, status, start_time, end_time) values
  ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', 'video', 'confirmed',
   '2040-01-01 10:00+00', '2040-01-01 11:00+00'),
  ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000001', 'video', 'scheduled',
   '2040-01-01 10:30+00', '2040-01-01 11:30+00'),
  (gen_random_uuid(), gen_random_uuid(), 'video', 'scheduled', '2040-01-01 10:30+00', '2040-01-01 11:30+00'),
  (null, null, null, null, null, null);
insert into public.user_credits (user_id, user_type, credits_balance, created_at) values
  ('00000000-0000-4000-8000-000000000002', 'individual', -3, '2025-12-01'),
  ('00000000-0000-4000-8000-000000000002', 'individual', 5, null),
  ('00000000-0000-4000-8000-000000000002', null, null, '2025-12-01'),
  ('00000000-0000-4000-8000-000000000003', 'user', -2, '2025-12-01'),
  (null, 'individual', 7, '2025-12-01'),
  (gen_random_uuid(), 'partner', 0, '2025-12-01');
