-- The people of the local stack: two therapists, and one client for each state that a wallet can have.
-- A second run changes nothing.

insert into public.users (id, email, full_name, user_type, time_zone)
values
  ('00000000-0000-4000-8000-000000000001', 'tara@example.org',
    'Dr Tara Adeyemi', 'therapist', 'Europe/London'),
  ('00000000-0000-4000-8000-000000000002', 'tom@example.org',
    'Tom Lindqvist', 'therapist', 'America/New_York'),
  ('00000000-0000-4000-8000-000000000011', 'ada@example.org',
    'Ada Okafor', 'individual', 'Africa/Lagos'),
  ('00000000-0000-4000-8000-000000000012', 'ben@example.org',
    'Ben Walsh', 'individual', 'Europe/London'),
  ('00000000-0000-4000-8000-000000000013', 'cleo@example.org',
    'Cleo Martin', 'user', 'America/New_York'),
  ('00000000-0000-4000-8000-000000000014', 'dan@example.org',
    'Dan Shrestha', 'individual', 'Asia/Kathmandu')
on conflict (id) do nothing;

-- Ada has several lots, Ben has one credit, Cleo has one expired lot, and Dan has no lot.
insert into public.user_credits (id, user_id, user_type, credits_balance, expires_at, created_at)
values
  ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-000000000011', 'individual', 5,
    now() + interval '90 days', now() - interval '20 days'),
  ('00000000-0000-4000-9000-000000000002', '00000000-0000-4000-8000-000000000011', 'individual', 2,
    now() + interval '10 days', now() - interval '10 days'),
  ('00000000-0000-4000-9000-000000000003', '00000000-0000-4000-8000-000000000011', 'individual', 1,
    null, now() - interval '30 days'),
  ('00000000-0000-4000-9000-000000000004', '00000000-0000-4000-8000-000000000012', 'individual', 1,
    now() + interval '60 days', now() - interval '5 days'),
  ('00000000-0000-4000-9000-000000000005', '00000000-0000-4000-8000-000000000013', 'user', 3,
    now() - interval '1 day', now() - interval '60 days')
on conflict (id) do nothing;
