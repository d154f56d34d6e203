-- Two million sessions over five years, 20,000 clients with ten lots each, 500 therapists, over older.sql.
-- Made on demand: TEST_MILLIONS=1.

insert into public.users (id, email, full_name, user_type)
select
  ('00000000-0000-4000-a000-' || lpad(n::text, 12, '0'))::uuid, 'p' || n || '@example.org', 'Person ' || n,
  case when n <= 500 then 'therapist' else 'individual' end
from generate_series(1, 20500) n;
insert into public.sessions (user_id, therapist_id, status, start_time, end_time, cancelled_at, created_at)
select
  ('00000000-0000-4000-a000-' || lpad((501 + n % 20000)::text, 12, '0'))::uuid,
  ('00000000-0000-4000-a000-' || lpad((1 + n % 500)::text, 12, '0'))::uuid,
  (array['completed', 'completed', 'cancelled', 'no_show', 'rescheduled'])[1 + n % 5],
  '2020-01-01'::timestamptz + n / 500 * interval '11 hours',
  '2020-01-01'::timestamptz + n / 500 * interval '11 hours' + interval '50 minutes',
  case when n % 5 = 2 then '2020-01-01'::timestamp end, '2020-01-01'
from generate_series(1, 2000000) n;
alter table public.user_credits drop constraint one_lot_each;
insert into public.user_credits (user_id, user_type, credits_balance, created_at)
select
  ('00000000-0000-4000-a000-' || lpad((501 + n % 20000)::text, 12, '0'))::uuid, 'individual', n % 13, '2020-01-01'
from generate_series(1, 200000) n;
analyze public.users, public.sessions, public.user_credits;
