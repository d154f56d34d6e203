-- The clients to whom the caller may propose sessions, by name: every active client of the installation.
-- A time zone that nobody's clocks know reads as none.
--
-- Caller: an active therapist, as the token's subject.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.

create or replace function session_approval.list_clients()
returns table (id uuid, full_name text, email text, time_zone text)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  if not session_approval.is_therapist(v_caller.user_type::text) then
    perform session_approval.refuse(403, 'AUTHORIZATION_ERROR', 'Only a therapist can list clients');
  end if;

  return query
  select
    c.id,
    c.full_name,
    c.email,
    case when session_approval.is_time_zone(c.time_zone) then c.time_zone end
  from session_approval.clients c
  where c.id <> v_caller.id
  order by c.full_name, c.id;
end
$$;

create or replace function public.list_clients()
returns table (id uuid, full_name text, email text, time_zone text)
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.list_clients() $$;

comment on function public.list_clients() is
  'The clients to whom you, as a therapist, may propose sessions. Refuses with 401, 403.';
comment on function session_approval.list_clients() is 'The room behind public.list_clients.';

revoke all on function public.list_clients() from public, anon, authenticated, service_role;
revoke all on function session_approval.list_clients()
  from public, anon, authenticated, service_role;
grant execute on function public.list_clients() to authenticated, service_role;
grant execute on function session_approval.list_clients() to authenticated, service_role;
