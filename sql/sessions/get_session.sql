-- One of the caller's sessions, and in beside its events: every change of its status or time, oldest
-- first.
--
-- Caller: the session's client or therapist, as the token's subject.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours).

create or replace function session_approval.get_session(p_session_id uuid)
returns setof public.session_answer
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
begin
  return query
  select
    d.*,
    jsonb_build_object('events', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'kind', e.kind,
            'from_status', e.from_status,
            'to_status', e.to_status,
            'from_start', e.from_start,
            'to_start', e.to_start,
            'actor_id', e.actor_id,
            'reason', e.reason,
            'created_at', e.created_at
          )
          order by e.id
        )
        from session_approval.session_events e
        where e.session_id = d.id
      ),
      '[]'
    ))
  from session_approval.session_details d
  where d.id = p_session_id
    and v_caller.id in (d.user_id, d.therapist_id);

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found');
  end if;
end
$$;

create or replace function public.get_session(p_session_id uuid)
returns setof public.session_answer
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.get_session(p_session_id) $$;

comment on function public.get_session(uuid) is
  'One of your sessions, and in beside its events, oldest first. Refuses with 401, 403, 404.';
comment on function session_approval.get_session(uuid) is 'The implementation of public.get_session.';

revoke all on function public.get_session(uuid) from public, anon, authenticated, service_role;
revoke all on function session_approval.get_session(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.get_session(uuid) to authenticated, service_role;
grant execute on function session_approval.get_session(uuid) to authenticated, service_role;
