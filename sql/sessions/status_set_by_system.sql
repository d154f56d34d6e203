-- Whether the last change of a session's status has no actor. The sweep, for example, makes such
-- changes.

create or replace function session_approval.status_set_by_system(p_session_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select e.actor_id is null
  from session_approval.session_events e
  where e.session_id = p_session_id
    -- A session that is moved leaves an event too.
    and e.from_status is distinct from e.to_status
  order by e.id desc
  limit 1
$$;

comment on function session_approval.status_set_by_system(uuid) is
  'Whether the last change of this session''s status has no actor.';

revoke all on function session_approval.status_set_by_system(uuid) from public, anon, authenticated;
