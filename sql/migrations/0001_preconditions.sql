-- Stop before anything is changed when this database lacks what the rest of the install relies on.
-- One message lists all that is missing, each with what to do about it.

set local lock_timeout = '5s';
set local client_min_messages = warning;

do $$
declare
  v_missing text[] := '{}';
  v_role text;
  v_column text;
begin
  if current_setting('server_version_num')::integer < 140000 then
    v_missing := v_missing || 'PostgreSQL 14 or newer: this server is '
      || current_setting('server_version');
  end if;

  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_catalog.pg_roles r where r.rolname = v_role) then
      v_missing := v_missing || format(
        'role %I: Supabase has it; on plain Postgres run sql/local/supabase.sql first', v_role);
    end if;
  end loop;

  if to_regprocedure('auth.uid()') is null then
    v_missing := v_missing ||
      text 'function auth.uid(): Supabase has it; on plain Postgres run sql/local/supabase.sql first';
  end if;

  if to_regclass('session_approval.people') is null and to_regclass('public.users') is null then
    v_missing := v_missing || text 'table public.users: where people live in another table, create the '
      'view session_approval.people over it first (README, "For DBAs"); '
      'a new project runs sql/starter/install.sql';
  elsif to_regclass('session_approval.people') is null and not exists (
    select
    from information_schema.columns c
    where c.table_schema = 'public'
      and c.table_name = 'users'
      and c.column_name in ('user_type', 'role')
  ) then
    v_missing := v_missing || text 'column public.users.user_type, or role: where the kind of an account '
      'is kept elsewhere, create the view session_approval.people first (README, "For DBAs")';
  end if;

  foreach v_column in array array[
    'sessions.id', 'sessions.user_id', 'sessions.therapist_id', 'sessions.start_time',
    'sessions.end_time', 'sessions.status', 'sessions.session_type', 'sessions.created_at',
    'user_credits.id', 'user_credits.user_id', 'user_credits.user_type',
    'user_credits.credits_balance', 'user_credits.created_at'
  ] loop
    if not exists (
      select
      from information_schema.columns c
      where c.table_schema = 'public'
        and c.table_name || '.' || c.column_name = v_column
    ) then
      v_missing := v_missing || format(
        'column public.%s: a new project runs sql/starter/install.sql first', v_column);
    end if;
  end loop;

  for v_column in
    select format('%s.%s of type uuid: it is %s', c.table_name, c.column_name, c.data_type)
    from information_schema.columns c
    where c.table_schema = 'public'
      and c.data_type <> 'uuid'
      and (
        c.table_name || '.' || c.column_name in (
          'sessions.id', 'sessions.user_id', 'sessions.therapist_id', 'user_credits.id',
          'user_credits.user_id'
        )
        or (
          c.table_name || '.' || c.column_name = 'users.id'
          and to_regclass('session_approval.people') is null
        )
      )
    order by 1
  loop
    v_missing := v_missing || format('column public.%s', v_column);
  end loop;

  if v_missing <> '{}' then
    raise exception using
      message = 'session approval cannot be installed yet; nothing was changed. Missing:'
        || E'\n  - ' || array_to_string(v_missing, E'\n  - '),
      errcode = 'object_not_in_prerequisite_state';
  end if;
end
$$;
