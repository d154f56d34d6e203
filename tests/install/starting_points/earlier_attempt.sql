-- An earlier attempt at this very product: its function fails on every call, and a check is lost. Over older.sql.

alter table public.sessions drop constraint known_states;
alter table public.sessions
  add column is_instant boolean default false,
  add column requires_approval boolean default false,
  add column created_by uuid references public.users (id);
create function public.approve_session_and_deduct_credit(p_session_id uuid, p_user_id uuid)
returns table (
  id uuid, user_id uuid, therapist_id uuid, title text, description text, scheduled_date date,
  scheduled_time time, start_time timestamptz, end_time timestamptz, duration_minutes integer,
  session_type text, status text, created_at timestamptz
)
language plpgsql security definer as $$
begin
  update public.sessions set status = 'scheduled' where id = p_session_id;
  return query select * from public.sessions where id = p_session_id;
end
$$;
grant execute on function public.approve_session_and_deduct_credit(uuid, uuid)
  to anon, authenticated, service_role;
insert into public.sessions
  (id, user_id, therapist_id, status, start_time, end_time, requires_approval, session_url)
values
  ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-000000000002',
   '00000000-0000-4000-8000-000000000001', 'pending_approval', 'tomorrow 10:00+00',
   'tomorrow 11:00+00', true, 'https://old.daily.co/x');
