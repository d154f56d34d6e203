-- The application's triggers on sessions and user_credits also fire when our functions write. Our functions
-- run with an empty search path, most of them in UTC. A trigger that says "from users", or that reads a
-- time of day, would fail there, or store another hour. So the first trigger of a statement switches to the
-- settings that the application knows: its search path, the database's own time zone and plan_cache_mode.
-- leave_application_settings switches back after the last trigger.
--
-- Our statement was parsed before, so that nothing on that path can stand in for what it names. Our own row
-- triggers have their own settings. Where the search path is not ours nothing changes: the application's
-- own writes find what they always found.
--
-- This function cannot set its own search path: the setting would end with the function. Every name in it is
-- qualified. It runs as whoever writes; inside our functions that is their owner, who alone can switch.

create or replace function session_approval.enter_application_settings()
returns trigger
language plpgsql
security invoker
as $$
begin
  if pg_catalog.current_setting('search_path') in ('', '""')
    and pg_catalog.has_function_privilege('session_approval.application_search_path()', 'execute')
  then
    perform
      pg_catalog.set_config(
        'session_approval.left_settings',
        pg_catalog.concat_ws(
          '|', pg_catalog.pg_trigger_depth(), tg_op, pg_catalog.current_setting('timezone'),
          pg_catalog.current_setting('plan_cache_mode')),
        true),
      pg_catalog.set_config('timezone', null, true),
      pg_catalog.set_config('plan_cache_mode', null, true),
      pg_catalog.set_config('search_path', session_approval.application_search_path(), true);
  end if;

  return null;
end
$$;

comment on function session_approval.enter_application_settings() is
  'Before a statement of our functions: gives the application''s triggers its search path and time zone.';

revoke all on function session_approval.enter_application_settings() from public, anon, authenticated;

-- Postgres fires the triggers of one kind in the order of their names, byte by byte.
create or replace trigger "!session_approval_enter"
before insert or update or delete on public.sessions
for each statement execute function session_approval.enter_application_settings();

create or replace trigger "!session_approval_enter"
before insert or update or delete on public.user_credits
for each statement execute function session_approval.enter_application_settings();

comment on trigger "!session_approval_enter" on public.sessions is
  'First of all: the application''s triggers run with its own search path and time zone.';
comment on trigger "!session_approval_enter" on public.user_credits is
  'First of all: the application''s triggers run with its own search path and time zone.';
