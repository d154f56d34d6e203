-- The product's own starter tables, used by an application before the product came. Over sql/starter.

create view public.upcoming as
  select id, status, start_time from public.sessions where status in ('scheduled', 'confirmed');
grant select on public.upcoming to authenticated;
create function public.touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touch before update on public.user_credits for each row execute function public.touch();
create policy "People see those of their sessions" on public.sessions for select to authenticated
  using ((select auth.uid()) in (user_id, therapist_id));
create policy "Own credits" on public.user_credits for select to authenticated using ((select auth.uid()) = user_id);

insert into public.users (id, email, full_name, user_type) values
  ('00000000-0000-4000-8000-000000000001', 't@example.org', 'Tara', 'therapist'),
  ('00000000-0000-4000-8000-000000000002', 'a@example.org', 'Ada', 'individual'),
  ('00000000-0000-4000-8000-000000000003', 'b@example.org', 'Ben', 'user');
insert into public.sessions (user_id, therapist_id, status, start_time, end_time, created_at)
select
  '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001',
  (array['scheduled', 'confirmed', 'completed', 'cancelled'])[1 + n % 4],
  '2026-01-01 10:00+00'::timestamptz + n * interval '1 day',
  '2026-01-01 10:50+00'::timestamptz + n * interval '1 day', '2025-12-01 12:00+00'
from generate_series(1, 8) n;
insert into public.user_credits (user_id, credits_balance, created_at) values
  ('00000000-0000-4000-8000-000000000002', 4, '2025-12-01'),
  ('00000000-0000-4000-8000-000000000003', 1, '2025-12-02');
