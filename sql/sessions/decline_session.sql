-- The client declines a proposal. The proposal ends as cancelled, with the reason 'declined'; no credit
-- moves.
--
-- Caller: the session's client, as the token's subject; the server for the client it names.
-- Locks: the session. Repeating the call gives the same answer.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours),
-- 409 SESSION_NOT_PENDING, 410 SESSION_EXPIRED, 400 VALIDATION_ERROR (reason too long).

create or replace function session_approval.decline_session(
  p_session_id uuid, p_reason text, p_user_id uuid
)
returns setof public.session_answer
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(p_user_id);
begin
  perform
  from public.sessions s
  where s.id = p_session_id
    and s.user_id = v_caller.id
  for no key update;

  if not found then
    perform session_approval.refuse(
      404, 'SESSION_NOT_FOUND', 'Session not found or not pending approval');
  end if;

  return query
  select * from session_approval.end_proposal(p_session_id, v_caller.id, 'declined', p_reason);
end
$$;

create or replace function public.decline_session(
  p_session_id uuid,
  p_reason text default null,
  p_user_id uuid default auth.uid()
)
returns setof public.session_answer
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.decline_session(p_session_id, p_reason, p_user_id) $$;

comment on function public.decline_session(uuid, text, uuid) is
  'Decline a proposed session, as its client, with a reason in your own words if you like. Returns the '
  'session. Refuses with 400, 401, 403, 404, 409, 410.';
comment on function session_approval.decline_session(uuid, text, uuid) is
  'The implementation of public.decline_session.';

revoke all on function public.decline_session(uuid, text, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.decline_session(uuid, text, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.decline_session(uuid, text, uuid) to authenticated, service_role;
grant execute on function session_approval.decline_session(uuid, text, uuid)
  to authenticated, service_role;
