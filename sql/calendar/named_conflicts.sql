-- The result of conflicting_sessions, with the title and the client's name added to the viewer's own
-- sessions. Only an answer has them. The details of a refusal go to Postgres's log, and the log must
-- hold no name and no title.

create or replace function session_approval.named_conflicts(p_conflicts jsonb)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      c.conflict || case
        when c.conflict ? 'id'
          then jsonb_build_object('title', s.title, 'client_name', client.full_name)
        else '{}'
      end
      order by c.place
    ),
    '[]'
  )
  from jsonb_array_elements(p_conflicts) with ordinality c (conflict, place)
  left join public.sessions s on s.id = (c.conflict ->> 'id')::uuid
  left join session_approval.people client on client.id = s.user_id
$$;

comment on function session_approval.named_conflicts(jsonb) is
  'Adds title and client_name to those conflicting sessions that have an id.';

revoke all on function session_approval.named_conflicts(jsonb) from public, anon, authenticated;
