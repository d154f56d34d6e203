-- The key of the advisory lock that stands for one person's calendar. Two people may have the same key
-- by chance. Then they only wait for each other.

create or replace function session_approval.calendar_key(p_person_id uuid)
returns bigint
language sql
immutable
security invoker
set search_path = ''
as $$ select hashtextextended('session_approval.calendar ' || p_person_id::text, 0) $$;

comment on function session_approval.calendar_key(uuid) is
  'The key of the advisory lock on one person''s calendar.';

revoke all on function session_approval.calendar_key(uuid) from public, anon, authenticated;
