-- A change of settings.application_search_path is in force at once. What is no list of names is refused.

create or replace function session_approval.follow_settings()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform session_approval.refresh_application_path();

  return null;
end
$$;

comment on function session_approval.follow_settings() is
  'Works out the application''s search path again when the setting changes.';

revoke all on function session_approval.follow_settings() from public, anon, authenticated;

create or replace trigger follow_settings
after update of application_search_path on session_approval.settings
for each statement execute function session_approval.follow_settings();

comment on trigger follow_settings on session_approval.settings is
  'A change of application_search_path is in force at once.';
