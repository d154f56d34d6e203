-- The therapist says how a session ended: it took place (completed), or nobody came (no_show).
--
-- Caller: the session's therapist, as the token's subject. Locks: the session.
-- From its start on; saying the same again answers the same. What the sweep closed, not knowing better, is
-- corrected; a credit that went back stays back.
--
-- Refusals: 400 VALIDATION_ERROR (outcome), 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
-- 404 SESSION_NOT_FOUND (absent or not yours), 409 SESSION_NOT_FINISHABLE (details: status).

create or replace function session_approval.finish_session(p_session_id uuid, p_outcome text)
returns setof session_approval.session_outcomes
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_session record;
  v_outcome session_approval.session_outcomes;
begin
  if (p_outcome in ('completed', 'no_show')) is not true then
    perform session_approval.refuse(
      400, 'VALIDATION_ERROR', 'The outcome is not valid',
      jsonb_build_object('outcome', 'must be completed or no_show'));
  end if;

  select s.status, s.start_time
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

    update public.sessions s set status = p_outcome where s.id = p_session_id;
  elsif v_session.status <> p_outcome then
    perform session_approval.refuse(
      409, 'SESSION_NOT_FINISHABLE', 'This session has not begun, or has ended otherwise',
      jsonb_build_object('status', v_session.status));
  end if;

  select o.*
  into v_outcome
  from session_approval.session_outcomes o
  where o.id = p_session_id;

  v_outcome.message := 'Session finished.';
  v_outcome.room := session_approval.room_to_remove(p_session_id);

  return next v_outcome;
end
$$;

create or replace function public.finish_session(p_session_id uuid, p_outcome text default 'completed')
returns setof session_approval.session_outcomes
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.finish_session(p_session_id, p_outcome) $$;

comment on function public.finish_session(uuid, text) is
  'Say how one of your sessions ended, as its therapist: completed or no_show. Returns the session. '
  'Refuses with 400, 401, 403, 404, 409.';
comment on function session_approval.finish_session(uuid, text) is
  'The room behind public.finish_session.';

revoke all on function public.finish_session(uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.finish_session(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.finish_session(uuid, text) to authenticated, service_role;
grant execute on function session_approval.finish_session(uuid, text) to authenticated, service_role;
