-- The client or the therapist joins a session. Returns who the person is in the room, and how long the
-- room is open for that person. The first person who joins sets the session to in_progress.
--
-- Caller: the session's client or therapist, as the token's subject; the server for the person it names.
-- Locks: the session.
-- A person can join from join_early before the start until the end.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
-- 404 SESSION_NOT_FOUND (absent or not yours), 409 SESSION_NOT_APPROVED,
-- 409 SESSION_CANCELLED (details: cancellation_reason),
-- 409 SESSION_NOT_OPEN (too early; details: opens_at), 410 SESSION_OVER.

create or replace function session_approval.join_session(p_session_id uuid, p_user_id uuid)
returns setof public.join_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(p_user_id);
  v_session session_approval.session_details;
begin
  perform
  from public.sessions s
  where s.id = p_session_id
    and v_caller.id in (s.user_id, s.therapist_id)
  for no key update;

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;

  select d.* into v_session from session_approval.session_details d where d.id = p_session_id;

  if v_session.status = 'pending_approval' then
    perform session_approval.refuse(
      409, 'SESSION_NOT_APPROVED', 'This session waits for the client''s approval');
  elsif v_session.status = 'cancelled' then
    perform session_approval.refuse(
      409, 'SESSION_CANCELLED', 'This session was called off',
      jsonb_build_object(
        'cancellation_reason', session_approval.coded_reason(v_session.cancellation_reason)));
  elsif v_session.status in ('completed', 'no_show') or v_session.end_time <= now() then
    perform session_approval.refuse(410, 'SESSION_OVER', 'This session is over');
  elsif (v_session.join_opens_at <= now()) is not true then
    perform session_approval.refuse(
      409, 'SESSION_NOT_OPEN', 'This session cannot be joined yet',
      jsonb_build_object('opens_at', v_session.join_opens_at));
  end if;

  if v_session.status <> 'in_progress' then
    perform session_approval.note_status_change(v_caller.id, null);

    update public.sessions s set status = 'in_progress' where s.id = p_session_id;
  end if;

  return query
  select
    a.beside -> 'room',
    jsonb_build_object(
      'room_name', a.beside -> 'room' -> 'name',
      'user_id', v_caller.id,
      'user_name', coalesce(v_caller.full_name, 'Guest'),
      'is_owner', v_caller.id = v_session.therapist_id,
      'opens_at', a.beside -> 'room' -> 'opens_at',
      'expires_at', a.beside -> 'room' -> 'closes_at'
    ),
    v_session.end_time
  from session_approval.session_answers a
  where a.id = p_session_id;
end
$$;

create or replace function public.join_session(
  p_session_id uuid,
  p_user_id uuid default auth.uid()
)
returns setof public.join_answer
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.join_session(p_session_id, p_user_id) $$;

comment on function public.join_session(uuid, uuid) is
  'Join one of your sessions: the room that it needs, and who you are in it. '
  'Refuses with 401, 403, 404, 409, 410.';
comment on function session_approval.join_session(uuid, uuid) is
  'The implementation of public.join_session.';

revoke all on function public.join_session(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function session_approval.join_session(uuid, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.join_session(uuid, uuid) to authenticated, service_role;
grant execute on function session_approval.join_session(uuid, uuid) to authenticated, service_role;
