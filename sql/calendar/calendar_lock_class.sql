-- The first half of the key of an advisory lock that announces a session without approval
-- (announce_direct_write). It is one of 256 numbers, from a range that other programs are unlikely to
-- use.

create or replace function session_approval.calendar_lock_class(p_person_id uuid)
returns integer
language sql
immutable
security invoker
set search_path = ''
as $$ select 1397899264 + (session_approval.calendar_key(p_person_id) & 255)::integer $$;

comment on function session_approval.calendar_lock_class(uuid) is
  'The first half of the advisory lock''s key for a person''s calendar: one of 256 numbers.';

revoke all on function session_approval.calendar_lock_class(uuid) from public, anon, authenticated;
