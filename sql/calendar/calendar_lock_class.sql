-- The first half of the advisory locks by which writers of sessions without approval are found: one of 256
-- numbers, from a range that nobody else is likely to use.

create or replace function session_approval.calendar_lock_class(p_person_id uuid)
returns integer
language sql
immutable
security invoker
set search_path = ''
as $$ select 1397899264 + (session_approval.calendar_key(p_person_id) & 255)::integer $$;

comment on function session_approval.calendar_lock_class(uuid) is
  'Which of 256 advisory locks'' first halves stands for a person''s calendar.';

revoke all on function session_approval.calendar_lock_class(uuid) from public, anon, authenticated;
