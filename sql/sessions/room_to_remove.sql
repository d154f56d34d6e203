-- The room that a session which has ended leaves behind, for whichever provider removes it; null when it had
-- none: rooms are made for approved sessions, and for instant ones already when they are proposed.

create or replace function session_approval.room_to_remove(p_session_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object('name', session_approval.room_name(s.id))
  from public.sessions s
  where s.id = p_session_id
    and (s.approved_at is not null or s.is_instant)
$$;

comment on function session_approval.room_to_remove(uuid) is
  'The room of a session that has ended: name; null where there was none.';

revoke all on function session_approval.room_to_remove(uuid) from public, anon, authenticated;
