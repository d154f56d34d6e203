-- One session of the caller's, with everything that happened to it.
--
-- Caller: the session's client or therapist, as the token's subject.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours).

create or replace function session_approval.get_session(p_session_id uuid)
returns setof session_approval.session_histories
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  return query
  select h.*
  from session_approval.session_histories h
  where h.id = p_session_id
    and v_caller.id in (h.user_id, h.therapist_id);

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;
end
$$;

create or replace function public.get_session(p_session_id uuid)
returns setof session_approval.session_histories
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.get_session(p_session_id) $$;

comment on function public.get_session(uuid) is
  'One of your sessions, with its events, oldest first. Refuses with 401, 403, 404.';
comment on function session_approval.get_session(uuid) is 'The room behind public.get_session.';

revoke all on function public.get_session(uuid) from public, anon, authenticated, service_role;
revoke all on function session_approval.get_session(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.get_session(uuid) to authenticated, service_role;
grant execute on function session_approval.get_session(uuid) to authenticated, service_role;
