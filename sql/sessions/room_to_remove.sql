-- The video room of a session that has ended, for the video provider to remove. It is null when the
-- session had no room. Approved sessions have a room; instant sessions have one as soon as they are
-- proposed.

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
  'The video room of a session that has ended: name; null when there was no room.';

revoke all on function session_approval.room_to_remove(uuid) from public, anon, authenticated;
