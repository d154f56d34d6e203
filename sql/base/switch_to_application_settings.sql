-- The application's own triggers on sessions and user_credits work inside our functions as they do when the
-- application writes. Our functions have an empty search_path, the time zone UTC and, where it is quicker,
-- plan_cache_mode = force_generic_plan; and what a function sets is in force in every trigger that its
-- statements fire. A trigger that names a table without its schema would fail, and one that works out a start
-- from a date and a time would store another hour.
--
-- So the first trigger of each statement of ours, this one, sets what the application's triggers expect:
-- the path (application_path), and the time zone and plan_cache_mode that this connection began with. The
-- last one, switch_back_to_our_settings, sets back what was found. Our statement has been parsed before, so
-- nothing on that path can take the place of what it names; and our own triggers have settings of their
-- own, under which a statement of theirs is switched again, one level deeper.
--
-- It cannot have a search_path of its own, for what it sets would be undone when it returns: therefore it
-- names everything in full, operators included, and runs as the role that writes. Somebody else's statement
-- under an empty search_path, such as a restore's, is switched too if that role may read application_path;
-- any other is left alone. Where an error undoes the statement, Postgres undoes the switch as well.

create or replace function session_approval.switch_to_application_settings()
returns trigger
language plpgsql
security invoker
as $$
declare
  v_path text;
  v_time_zone text;
  v_plans text;
begin
  v_path := pg_catalog.current_setting('search_path');

  -- As set by a function, and as set by switch_back_to_our_settings.
  if v_path operator(pg_catalog.<>) '""' and v_path operator(pg_catalog.<>) '' then
    return null;
  end if;

  if not pg_catalog.has_table_privilege('session_approval.application_path', 'select') then
    return null;
  end if;

  v_path := (
    select a.path
    from session_approval.application_path a
    where not exists (
      select
      from pg_catalog.pg_namespace n
      where n.oid operator(pg_catalog.=) any (a.schemas)
        and n.xmin operator(pg_catalog.<>) all (a.versions)
    )
  );

  if v_path is null then
    v_path := (session_approval.trusted_search_path()).path;
  end if;

  v_time_zone := pg_catalog.current_setting('timezone');
  v_plans := pg_catalog.current_setting('plan_cache_mode');

  -- Kept by level, for statements within a trigger are levels of their own.
  perform pg_catalog.set_config(
    pg_catalog.concat('session_approval.found_', pg_catalog.pg_trigger_depth()),
    pg_catalog.concat(v_time_zone, ' ', v_plans), true);

  -- Null is what RESET would set: what the connection began with. Another zone than UTC is not ours.
  if v_time_zone operator(pg_catalog.=) 'UTC' then
    perform pg_catalog.set_config('timezone', null, true);
  end if;

  if v_plans operator(pg_catalog.=) 'force_generic_plan' then
    perform pg_catalog.set_config('plan_cache_mode', null, true);
  end if;

  perform pg_catalog.set_config('search_path', v_path, true);

  return null;
end
$$;

comment on function session_approval.switch_to_application_settings() is
  'Sets the search_path, time zone and plan_cache_mode that the application''s own triggers expect.';

revoke all on function session_approval.switch_to_application_settings() from public, anon, authenticated;

-- Triggers fire by name. This one sorts before any name that begins with a letter, a digit or an underscore.
create or replace trigger "!session_approval_switch"
before insert or update or delete on public.sessions
for each statement execute function session_approval.switch_to_application_settings();

create or replace trigger "!session_approval_switch"
before insert or update or delete on public.user_credits
for each statement execute function session_approval.switch_to_application_settings();

comment on trigger "!session_approval_switch" on public.sessions is
  'The application''s own triggers find its search_path and time zone inside our functions. First by name.';
comment on trigger "!session_approval_switch" on public.user_credits is
  'The application''s own triggers find its search_path and time zone inside our functions. First by name.';
