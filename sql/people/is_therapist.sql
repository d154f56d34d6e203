-- Whether an account of this type belongs to a therapist.

create or replace function session_approval.is_therapist(p_user_type text)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(p_user_type = any (settings.therapist_types), false)
  from session_approval.settings settings
$$;

comment on function session_approval.is_therapist(text) is
  'Whether a people.user_type is one of settings.therapist_types.';

revoke all on function session_approval.is_therapist(text) from public, anon, authenticated;
