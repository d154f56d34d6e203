-- The proposals that wait for the caller's answer, newest first.
--
-- Caller: anybody active, as the token's subject; only clients have any.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.

create or replace function session_approval.list_pending_sessions()
returns setof session_approval.session_details
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  return query
  select d.*
  from session_approval.session_details d
  where d.status = 'pending_approval'
    and d.id in (
      select s.id
      from public.sessions s
      where s.user_id = v_caller.id
        and s.status = 'pending_approval'
    )
  order by d.created_at desc, d.id;
end
$$;

create or replace function public.list_pending_sessions()
returns setof session_approval.session_details
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.list_pending_sessions() $$;

comment on function public.list_pending_sessions() is
  'The sessions that wait for your approval, newest first. Refuses with 401, 403.';
comment on function session_approval.list_pending_sessions() is
  'The room behind public.list_pending_sessions.';

revoke all on function public.list_pending_sessions()
  from public, anon, authenticated, service_role;
revoke all on function session_approval.list_pending_sessions()
  from public, anon, authenticated, service_role;
grant execute on function public.list_pending_sessions() to authenticated, service_role;
grant execute on function session_approval.list_pending_sessions() to authenticated, service_role;
