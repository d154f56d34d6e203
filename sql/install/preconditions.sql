-- Stop before anything is changed if this database lacks something that the install needs, or has
-- something there that the install cannot work with. One message lists everything, each with what to do
-- about it.

do $$
declare
  v_missing text;
begin
  with columns as (
    select
      c.relname || '.' || a.attname as name, c.relname::text as table_name, a.attname::text as column_name,
      coalesce(base.typname, t.typname) as type, coalesce(base.typcategory, t.typcategory) as category,
      format_type(a.atttypid, a.atttypmod) as type_in_full,
      case when coalesce(base.typname, t.typname) in ('varchar', 'bpchar')
        then nullif(a.atttypmod, -1) - 4 end as width,
      a.attnotnull as is_not_null, a.attgenerated <> '' or a.attidentity = 'a' as is_generated,
      a.atthasdef or a.attidentity <> '' or coalesce(t.typdefault, '') <> '' as has_default
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid
    -- A dropped column has no type, so this join leaves it out.
    join pg_catalog.pg_type t on t.oid = a.atttypid
    left join pg_catalog.pg_type base on base.oid = t.typbasetype
    where c.relnamespace = 'public'::regnamespace
      and c.relname in ('users', 'sessions', 'user_credits')
      and a.attnum > 0
  ),
  -- This does not use to_regclass, which fails if another role owns the schema and we may not use it.
  people as (
    select
    from pg_catalog.pg_class c
    where c.relnamespace = to_regnamespace('session_approval')
      and c.relname = 'people'
  ),
  -- Columns that the application must have. accepts, filled: as in install/our_columns.sql.
  needed (name, accepts, filled) as (
    values
      ('sessions.id', 'uuid', null), ('sessions.user_id', 'uuid', 'always'),
      ('sessions.therapist_id', 'uuid', 'always'), ('sessions.start_time', 'timestamptz', 'always'),
      ('sessions.end_time', 'timestamptz', 'always'), ('sessions.status', 'text', 'always'),
      ('sessions.session_type', 'text', 'always'),
      ('sessions.created_at', 'timestamptz or timestamp', null),
      ('user_credits.id', 'uuid', null), ('user_credits.user_id', 'uuid', 'always'),
      ('user_credits.user_type', 'text', 'always'), ('user_credits.credits_balance', 'number', 'always'),
      ('user_credits.created_at', 'timestamptz or timestamp', null)
  ),
  -- Every column that the functions read or write, with the types that they can work with.
  expected (name, accepts, filled) as (
    select n.name, n.accepts, n.filled from needed n
    union all
    select ours.table_name || '.' || ours.name, ours.accepts, ours.filled from pg_temp.our_columns ours
    union all
    select 'users.id', 'uuid', null where not exists (select from people)
    union all
    select 'sessions.duration', null, 'always'
    from columns c
    where c.name = 'sessions.duration'
      and c.type in ('int2', 'int4', 'int8', 'numeric', 'float4', 'float8')
  ),
  missing (place, what) as (
    select
      1, 'PostgreSQL 14 or newer: this server is ' || current_setting('server_version')
    where current_setting('server_version_num')::integer < 140000

    union all
    select
      2, format('role %I: Supabase has it; on plain Postgres run sql/local/supabase.sql first', r.name)
    from unnest(array['anon', 'authenticated', 'service_role']) r (name)
    where to_regrole(r.name) is null

    union all
    select
      3, 'function auth.uid(): Supabase has it; on plain Postgres run sql/local/supabase.sql first'
    where not exists (
      select
      from pg_catalog.pg_proc p
      join pg_catalog.pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0
    )

    union all
    select
      4, 'extension btree_gist, which this server does not have: install its contrib package '
        '(Debian: postgresql-contrib), no restart is needed'
    where not exists (select from pg_catalog.pg_extension e where e.extname = 'btree_gist')
      and not exists (select from pg_catalog.pg_available_extensions e where e.name = 'btree_gist')

    union all
    select
      5, format(
        'the privilege to create a schema and the extension btree_gist: grant create on database %I to %I',
        current_database(), current_user)
    where not has_database_privilege(current_database(), 'create')
      and (
        to_regnamespace('session_approval') is null
        or not exists (select from pg_catalog.pg_extension e where e.extname = 'btree_gist')
      )

    union all
    select 6, format('the privilege to create functions: grant create on schema public to %I', current_user)
    where not has_schema_privilege('public', 'create')

    union all
    select 7, format('the privilege to call auth.uid(): grant usage on schema auth to %I', current_user)
    from pg_catalog.pg_namespace n
    where n.nspname = 'auth'
      and not has_schema_privilege(n.oid, 'usage')

    union all
    select
      8, format(
        'ownership of schema session_approval: it belongs to %s; install as that role', n.nspowner::regrole)
    from pg_catalog.pg_namespace n
    where n.nspname = 'session_approval'
      and not pg_has_role(n.nspowner, 'usage')

    union all
    select
      9, format('ownership of table public.%I: it belongs to %s; install as that role, or grant it to %I',
        c.relname, c.relowner::regrole, current_user)
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace
      and c.relname in ('sessions', 'user_credits')
      and not pg_has_role(c.relowner, 'usage')

    union all
    select
      10, format('table public.%I, an ordinary one: it is %s', c.relname,
        case c.relkind
          when 'v' then 'a view' when 'm' then 'a materialized view' when 'p' then 'partitioned'
          when 'f' then 'a foreign table' else 'something else' end)
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace
      and c.relname in ('sessions', 'user_credits')
      and c.relkind <> 'r'

    union all
    select
      11, 'table public.users: where people live in another table, create the '
        'view session_approval.people over it first (README, "For DBAs"); '
        'a new project runs sql/starter/install.sql'
    where not exists (select from people)
      and to_regclass('public.users') is null

    union all
    select
      12, 'column public.users.user_type, or role: where the kind of an account '
        'is kept elsewhere, create the view session_approval.people first (README, "For DBAs")'
    where not exists (select from people)
      and to_regclass('public.users') is not null
      and not exists (select from columns c where c.name in ('users.user_type', 'users.role'))

    union all
    select 13, format('column public.%s: a new project runs sql/starter/install.sql first', n.name)
    from needed n
    where not exists (select from columns c where c.name = n.name)

    union all
    select
      14, format('column public.%s of type %s: it is %s', c.name, e.accepts, c.type_in_full)
        || case
          when e.accepts = 'timestamptz' then format(
            '; alter table public.%I alter column %I type timestamptz using %2$I at time zone %L, or '
            'whichever zone it was written in', c.table_name, c.column_name, 'UTC')
          when exists (select from needed n where n.name = c.name) or c.table_name = 'users' then ''
          else '; change its type, or rename it, and the install adds its own'
        end
    from columns c
    join expected e on e.name = c.name
    where not case e.accepts
      when 'timestamptz or timestamp' then c.type in ('timestamptz', 'timestamp')
      when 'date or timestamp' then c.category = 'D'
      when 'date, time or text' then c.category in ('D', 'S')
      when 'text' then c.category = 'S'
      when 'text or enum' then c.category in ('S', 'E')
      when 'uuid or text' then c.type = 'uuid' or c.category = 'S'
      when 'boolean' then c.type = 'bool'
      when 'number' then c.type in ('int2', 'int4', 'int8', 'numeric', 'float4', 'float8')
      else c.type = e.accepts
    end

    union all
    select
      15, format(
        'room for %s letters in column public.%s: it is %s; alter table public.%I alter column %I type text',
        w.width, c.name, c.type_in_full, c.table_name, c.column_name)
    from columns c
    join (values ('sessions.status', 16), ('sessions.time_zone', 32)) w (name, width) on w.name = c.name
    where c.width < w.width

    union all
    select
      16, format(
        'a default for column public.%s, which may not be null and which new rows of ours do not fill: '
        'alter table public.%I alter column %I set default ..., or drop not null',
        c.name, c.table_name, c.column_name)
    from columns c
    where c.table_name in ('sessions', 'user_credits')
      and c.is_not_null
      and not c.has_default
      and c.name not in (select e.name from expected e where e.filled is not null)
      -- A trigger of the application may fill it.
      and not exists (
        select
        from pg_catalog.pg_trigger t
        where t.tgrelid = to_regclass('public.' || c.table_name)
          and t.tgtype & 7 = 7
          and not t.tgname like 'session\_approval\_%'
      )

    union all
    select
      17, format(
        'column public.%s that may be null, as it is in some rows of ours: '
        'alter table public.%I alter column %I drop not null', c.name, c.table_name, c.column_name)
    from columns c
    join expected e on e.name = c.name
    where e.filled = 'sometimes'
      and c.is_not_null

    union all
    select
      18, format(
        'column public.%s that can be written: Postgres generates it; rename it, or drop its expression',
        c.name)
    from columns c
    join expected e on e.name = c.name
    where e.filled is not null
      and c.is_generated

    union all
    select
      19, format(
        'the name of function public.%s(%s), which is not ours: rename it, or drop it', f.proname,
        pg_get_function_identity_arguments(f.oid))
    from pg_catalog.pg_proc f
    where f.pronamespace = 'public'::regnamespace
      and f.proname in (
        'adjust_credits', 'approve_session_and_deduct_credit', 'cancel_session', 'check_availability',
        'create_custom_session', 'decline_session', 'finish_session', 'get_credits', 'get_session',
        'grant_credits', 'join_session', 'list_clients', 'list_pending_sessions', 'list_sessions',
        'preview_cancellation', 'reconcile_credits', 'record_video_event', 'sweep_sessions'
      )
      and f.oid not in (select o.oid from pg_temp.our_public_objects o where o.kind = 'function')
      -- The function that an earlier attempt published is replaced.
      and f.oid is distinct from to_regprocedure('public.approve_session_and_deduct_credit(uuid, uuid)')

    union all
    select
      20, format(
        'the name of %s public.%s, which is not ours: rename it, or drop it',
        case when c.relkind in ('r', 'p', 'f') then 'table' when c.relkind in ('v', 'm') then 'view'
          else 'type' end,
        t.typname)
    from pg_catalog.pg_type t
    left join pg_catalog.pg_class c on c.oid = t.typrelid
    where t.typnamespace = 'public'::regnamespace
      and t.typname in (
        'adjustment_answer', 'availability_answer', 'cancellation_answer', 'client_answer',
        'credits_answer', 'grant_answer', 'join_answer', 'reconciliation_answer', 'session_answer',
        'sweep_answer', 'video_event_answer'
      )
      and t.oid not in (select o.oid from pg_temp.our_public_objects o where o.kind = 'type')
  )
  select string_agg(E'\n  - ' || m.what, '' order by m.place, m.what)
  into v_missing
  from missing m;

  if v_missing is not null then
    raise exception using
      message = 'session approval cannot be installed yet; nothing was changed. Missing:' || v_missing,
      errcode = 'object_not_in_prerequisite_state';
  end if;
end
$$;
