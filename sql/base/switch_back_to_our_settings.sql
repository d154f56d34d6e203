-- The last trigger of each statement of ours: it sets back what switch_to_application_settings has found,
-- also when a trigger of the application's has set a search_path itself. A statement that was not switched,
-- such as one of the application's own within one of its triggers, is left alone: the level tells them
-- apart.
--
-- It cannot have a search_path of its own either, for the same reason.

create or replace function session_approval.switch_back_to_our_settings()
returns trigger
language plpgsql
security invoker
as $$
declare
  v_name constant text := pg_catalog.concat('session_approval.found_', pg_catalog.pg_trigger_depth());
  v_found text := pg_catalog.current_setting(v_name, true);
begin
  if v_found operator(pg_catalog.<>) '' then
    perform pg_catalog.set_config('search_path', '', true);
    perform pg_catalog.set_config('timezone', pg_catalog.split_part(v_found, ' ', 1), true);
    perform pg_catalog.set_config('plan_cache_mode', pg_catalog.split_part(v_found, ' ', 2), true);
    perform pg_catalog.set_config(v_name, '', true);
  end if;

  return null;
end
$$;

comment on function session_approval.switch_back_to_our_settings() is
  'Sets back the search_path, time zone and plan_cache_mode that switch_to_application_settings has found.';

revoke all on function session_approval.switch_back_to_our_settings() from public, anon, authenticated;

-- Triggers fire by name. This one sorts after any name that begins with a letter, a digit or an underscore.
create or replace trigger "~session_approval_switch"
after insert or update or delete on public.sessions
for each statement execute function session_approval.switch_back_to_our_settings();

create or replace trigger "~session_approval_switch"
after insert or update or delete on public.user_credits
for each statement execute function session_approval.switch_back_to_our_settings();

comment on trigger "~session_approval_switch" on public.sessions is
  'Our functions get their own search_path and time zone back. Last by name.';
comment on trigger "~session_approval_switch" on public.user_credits is
  'Our functions get their own search_path and time zone back. Last by name.';
