-- After the last trigger of a statement: back to the settings that enter_application_settings found, for the
-- rest of our function. It switches back only what the same statement has switched: a statement inside a
-- trigger has another depth, and "insert ... on conflict do update" ends twice.
--
-- Like that function it cannot set its own search path.

create or replace function session_approval.leave_application_settings()
returns trigger
language plpgsql
security invoker
as $$
declare
  v_left constant text[] := pg_catalog.string_to_array(
    pg_catalog.current_setting('session_approval.left_settings', true), '|');
begin
  if v_left[1] = pg_catalog.pg_trigger_depth()::text and v_left[2] = tg_op then
    perform
      pg_catalog.set_config('search_path', '', true),
      pg_catalog.set_config('timezone', v_left[3], true),
      pg_catalog.set_config('plan_cache_mode', v_left[4], true),
      pg_catalog.set_config('session_approval.left_settings', '', true);
  end if;

  return null;
end
$$;

comment on function session_approval.leave_application_settings() is
  'After a statement of our functions: takes back what enter_application_settings has set.';

revoke all on function session_approval.leave_application_settings() from public, anon, authenticated;

create or replace trigger "~session_approval_leave"
after insert or update or delete on public.sessions
for each statement execute function session_approval.leave_application_settings();

create or replace trigger "~session_approval_leave"
after insert or update or delete on public.user_credits
for each statement execute function session_approval.leave_application_settings();

comment on trigger "~session_approval_leave" on public.sessions is
  'Last of all: our functions go on with their own search path and time zone.';
comment on trigger "~session_approval_leave" on public.user_credits is
  'Last of all: our functions go on with their own search path and time zone.';

-- A trigger of the application's that comes before the first, or after the last, runs with our settings.
do $$
declare
  v_trigger record;
begin
  for v_trigger in
    select t.tgname, t.tgrelid::regclass as on_table
    from pg_catalog.pg_trigger t
    where t.tgrelid in ('public.sessions'::regclass, 'public.user_credits'::regclass)
      and t.tgtype & 1 = 0
      and t.tgtype & 28 <> 0
      and case when t.tgtype & 2 = 2
        then t.tgname::text collate "C" < '!session_approval_enter'
        else t.tgname::text collate "C" > '~session_approval_leave'
      end
  loop
    raise warning 'trigger % on % fires outside of ours: it must name every schema; better, rename it',
      v_trigger.tgname, v_trigger.on_table;
  end loop;
end
$$;
