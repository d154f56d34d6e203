-- The name of a session's video room. It depends only on the session's id, so every retry names the same
-- room and no room is left without a session. It has 34 characters, so that the domain and the name
-- together fit the older limit of 41 for short domains.

create or replace function session_approval.room_name(p_session_id uuid)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$ select 's-' || replace(p_session_id::text, '-', '') $$;

comment on function session_approval.room_name(uuid) is 'The name of a session''s video room.';

revoke all on function session_approval.room_name(uuid) from public, anon, authenticated;
