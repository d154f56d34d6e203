-- What an application and its back office ask of their own tables, whoever else lives in the database: 33 statements.
-- Each begins with who sends it and what for. A refusal is an answer, too.

-- ada: what comes up, on her dashboard
select id, therapist_id, start_time, end_time, status, session_type from public.sessions
where user_id = '00000000-0000-4000-8000-000000000002' and status in ('scheduled', 'confirmed')
order by start_time, id;

-- ada: the same with names
select s.id, s.start_time, u.full_name as therapist from public.sessions s
left join public.users u on u.id = s.therapist_id
where s.user_id = '00000000-0000-4000-8000-000000000002' order by s.start_time, s.id;

-- ada: the second page of her history
select id, status, start_time from public.sessions where user_id = '00000000-0000-4000-8000-000000000002'
order by start_time desc, id limit 3 offset 3;

-- ada: everything about her sessions, as select('*') has it
select * from public.sessions where user_id = '00000000-0000-4000-8000-000000000002' order by start_time, id;

-- ada: how many of each status
select status, count(*) from public.sessions where user_id = '00000000-0000-4000-8000-000000000002'
group by status order by status;

-- ada: her balance
select coalesce(sum(credits_balance), 0) as balance from public.user_credits
where user_id = '00000000-0000-4000-8000-000000000002' and user_type in ('individual', 'user');

-- ada: her purchases
select id, user_type, credits_balance, created_at from public.user_credits
where user_id = '00000000-0000-4000-8000-000000000002' order by created_at, id;

-- ada: what she can see of others
select count(*) from public.sessions where user_id <> '00000000-0000-4000-8000-000000000002';

-- ada: her session moves by a day
update public.sessions set start_time = start_time + interval '1 day', end_time = end_time + interval '1 day'
where user_id = '00000000-0000-4000-8000-000000000002' and status = 'scheduled' returning id, start_time, end_time;

-- ada: she tries to move somebody else's
update public.sessions set start_time = start_time - interval '1 day'
where user_id = '00000000-0000-4000-8000-000000000003' and status = 'scheduled' returning id, start_time;

-- ada: a view of the application's own
select id, status, start_time from public.upcoming order by start_time, id;

-- tara: her day
select id, user_id, status, start_time, end_time from public.sessions
where therapist_id = '00000000-0000-4000-8000-000000000001'
and start_time >= '2026-01-02 00:00+00' and start_time < '2026-01-04 00:00+00' order by start_time, id;

-- tara: her clients, latest first
select u.id, u.full_name, max(s.start_time) as latest from public.sessions s join public.users u on u.id = s.user_id
where s.therapist_id = '00000000-0000-4000-8000-000000000001' group by u.id, u.full_name order by 3 desc, 1;

-- tara: her weeks
select date_trunc('week', start_time at time zone 'UTC') as week, count(*), sum(end_time - start_time) as hours
from public.sessions where therapist_id = '00000000-0000-4000-8000-000000000001' group by 1 order by 1;

-- tara: whether a time is free
select exists (
  select from public.sessions where therapist_id = '00000000-0000-4000-8000-000000000001'
  and status in ('scheduled', 'confirmed') and start_time < '2026-01-02 11:00+00' and end_time > '2026-01-02 10:00+00'
) as taken;

-- tara: she books a session, as before there were proposals
insert into public.sessions (id, user_id, therapist_id, session_type, status, start_time, end_time)
values ('00000000-0000-4000-9000-00000000000a', '00000000-0000-4000-8000-000000000002',
  '00000000-0000-4000-8000-000000000001', 'video', 'scheduled', '2026-03-01 10:00+00', '2026-03-01 11:00+00')
returning id, status, session_type, start_time;

-- tara: a session that ran
update public.sessions set status = 'completed'
where therapist_id = '00000000-0000-4000-8000-000000000001' and status = 'confirmed' returning id, status;

-- tara: a status with a typing error
update public.sessions set status = 'complete'
where therapist_id = '00000000-0000-4000-8000-000000000001' and status = 'completed' returning id;

-- tara: what was left without a status gets one
update public.sessions set status = 'completed'
where therapist_id = '00000000-0000-4000-8000-000000000001' and status is null returning id, status;

-- tara: she clears away what was called off
delete from public.sessions
where therapist_id = '00000000-0000-4000-8000-000000000001' and status = 'cancelled' returning id;

-- service_role: a payment came
insert into public.user_credits (id, user_id, user_type, credits_balance)
values ('00000000-0000-4000-9000-00000000000b', '00000000-0000-4000-8000-000000000003', 'individual', 10)
returning user_id, credits_balance;

-- service_role: a payment, where each client has one lot
insert into public.user_credits (user_id, user_type, credits_balance)
values ('00000000-0000-4000-8000-000000000002', 'individual', 3)
on conflict (user_id, user_type) do update
  set credits_balance = user_credits.credits_balance + excluded.credits_balance
returning user_id, credits_balance;

-- service_role: a credit is taken, as the old server did
update public.user_credits set credits_balance = credits_balance - 1
where user_id = '00000000-0000-4000-8000-000000000002' and credits_balance > 0 returning id, credits_balance;

-- service_role: balances below zero are forgiven
update public.user_credits set credits_balance = 0 where credits_balance < 0 returning id;

-- service_role: a lot is locked before it is spent
select id, credits_balance from public.user_credits
where user_id = '00000000-0000-4000-8000-000000000002' order by created_at, id for update;

-- service_role: last night's sessions nobody joined
update public.sessions set status = 'no_show' where status = 'scheduled' and end_time < '2026-01-03 00:00+00'
returning id, status;

-- service_role: whom to remind
select s.id, u.email, s.start_time from public.sessions s join public.users u on u.id = s.user_id
where s.status in ('scheduled', 'confirmed') order by s.start_time, s.id;

-- service_role: an account is closed
delete from public.user_credits where user_id = '00000000-0000-4000-8000-000000000003' returning id;

-- owner: the monthly report
select to_char(start_time at time zone 'UTC', 'YYYY-MM') as month, count(*) as sessions,
  count(*) filter (where status = 'completed') as completed, count(distinct user_id) as clients
from public.sessions group by 1 order by 1;

-- owner: the largest lots of each client
select user_id, credits_balance, rank() over (partition by user_id order by credits_balance desc nulls last, id)
from public.user_credits order by 1, 3;

-- owner: all credits, as an export has them
select * from public.user_credits order by id;

-- owner: a series of weekly sessions
insert into public.sessions (user_id, therapist_id, session_type, status, start_time, end_time)
select '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', 'video', 'scheduled', at,
  at + interval '50 minutes'
from generate_series('2026-04-01 10:00+00', '2026-05-01 10:00+00', interval '1 week') at
returning start_time, end_time;

-- owner: two accounts become one
update public.sessions set user_id = '00000000-0000-4000-8000-000000000003'
where user_id = '00000000-0000-4000-8000-000000000002' returning id, user_id, status;
