-- The therapist says how a session ended. Either it took place (completed), or somebody did not come
-- (no_show). That person is the client, unless p_no_show_by says otherwise.
--
-- Caller: the session's therapist, as the token's subject; the server for the therapist it names, also
-- when that account is no longer active. Locks: the session.
-- A session can be finished from its start on. Repeating the same outcome gives the same answer. The
-- therapist can correct an outcome that the sweep set, because the sweep cannot know what happened. A
-- credit that went back stays with the client.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours),
-- 409 SESSION_NOT_FINISHABLE (details: status).

create or replace function session_approval.finish_session(
  p_session_id uuid,
  p_outcome text,
  p_no_show_by text,
  p_user_id uuid
)
returns setof public.session_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(p_user_id, true);
  v_no_show_by constant text := case when p_outcome = 'no_show' then coalesce(p_no_show_by, 'client') end;
  v_problems jsonb;
  v_session record;
  v_answer public.session_answer;
begin
  v_problems := jsonb_strip_nulls(jsonb_build_object(
    'outcome', case
      when (p_outcome in ('completed', 'no_show')) is not true then 'must be completed or no_show'
    end,
    'no_show_by', case
      when p_no_show_by not in ('client', 'therapist') then 'must be client or therapist'
      when p_no_show_by is not null and p_outcome = 'completed' then 'must be left out of completed'
    end
  ));
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The outcome is not valid', v_problems);
  end if;

  select s.status, s.start_time, s.no_show_by
  into v_session
  from public.sessions s
  where s.id = p_session_id
    and s.therapist_id = v_caller.id
  for no key update;

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;

  if v_session.status = 'in_progress'
    or (v_session.status in ('scheduled', 'confirmed') and v_session.start_time <= now())
    or (
      v_session.status in ('completed', 'no_show')
      and v_session.status <> p_outcome
      and session_approval.status_set_by_system(p_session_id)
    )
  then
    perform session_approval.note_status_change(v_caller.id, null);

    update public.sessions s
    set status = p_outcome, no_show_by = v_no_show_by
    where s.id = p_session_id;
  elsif v_session.status <> p_outcome or v_session.no_show_by <> v_no_show_by then
    perform session_approval.refuse(
      409, 'SESSION_NOT_FINISHABLE', 'This session has not begun, or has ended otherwise',
      jsonb_build_object('status', v_session.status));
  end if;

  select a.* into v_answer from session_approval.session_answers a where a.id = p_session_id;

  v_answer.beside := jsonb_build_object(
    'refunded', null,
    'refund_expires_at', null,
    'message', 'Session finished.',
    'room', session_approval.room_to_remove(p_session_id));

  return next v_answer;
end
$$;

create or replace function public.finish_session(
  p_session_id uuid,
  p_outcome text default 'completed',
  p_no_show_by text default null,
  p_user_id uuid default auth.uid()
)
returns setof public.session_answer
language sql
volatile
security invoker
set search_path = ''
as $$
  select * from session_approval.finish_session(p_session_id, p_outcome, p_no_show_by, p_user_id)
$$;

comment on function public.finish_session(uuid, text, text, uuid) is
  'Say how one of your sessions ended, as its therapist: completed or no_show. For a no_show, '
  'p_no_show_by says who did not come (default: client). Returns the session. Refuses with 400, 401, '
  '403, 404, 409.';
comment on function session_approval.finish_session(uuid, text, text, uuid) is
  'The implementation of public.finish_session.';

revoke all on function public.finish_session(uuid, text, text, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.finish_session(uuid, text, text, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.finish_session(uuid, text, text, uuid) to authenticated, service_role;
grant execute on function session_approval.finish_session(uuid, text, text, uuid)
  to authenticated, service_role;
