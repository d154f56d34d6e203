-- What calling a session off now would mean for its credit, before the caller confirms.
--
-- Caller: the session's client or therapist, as the token's subject. The cancellation itself reads the
-- same terms, so at the same instant both give the same result.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours).

create or replace function session_approval.preview_cancellation(p_session_id uuid)
returns setof public.cancellation_answer
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  return query
  select t.refundable, t.free_until, t.reason
  from public.sessions s
  cross join lateral session_approval.cancellation_terms(s.id, v_caller.id) t
  where s.id = p_session_id
    and v_caller.id in (s.user_id, s.therapist_id);

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;
end
$$;

create or replace function public.preview_cancellation(p_session_id uuid)
returns setof public.cancellation_answer
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.preview_cancellation(p_session_id) $$;

comment on function public.preview_cancellation(uuid) is
  'Whether cancelling one of your sessions now would refund its credit, and until when. '
  'Refuses with 401, 403, 404.';
comment on function session_approval.preview_cancellation(uuid) is
  'The implementation of public.preview_cancellation.';

revoke all on function public.preview_cancellation(uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.preview_cancellation(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.preview_cancellation(uuid) to authenticated, service_role;
grant execute on function session_approval.preview_cancellation(uuid) to authenticated, service_role;
