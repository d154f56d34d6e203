-- The application's people: every function reads them through this view and nowhere else. The default
-- view reads public.users. If people are kept in another table, a DBA creates or replaces this view with
-- the same columns. The install then leaves the view as it is.

do $$
declare
  v_columns text[];
begin
  if to_regclass('session_approval.people') is not null then
    return;
  end if;

  select array_agg(c.column_name::text)
  into v_columns
  from information_schema.columns c
  where c.table_schema = 'public'
    and c.table_name = 'users';

  execute format(
    'create view session_approval.people as
     select u.id, %s as full_name, %s as email, %s as user_type, %s as is_active, %s as time_zone
     from public.users u',
    case
      when 'full_name' = any (v_columns) then 'u.full_name::text'
      when 'name' = any (v_columns) then 'u.name::text'
      else 'null::text'
    end,
    case when 'email' = any (v_columns) then 'u.email::text' else 'null::text' end,
    case when 'user_type' = any (v_columns) then 'u.user_type::text' else 'u.role::text' end,
    case when 'is_active' = any (v_columns) then 'coalesce(u.is_active, true)' else 'true' end,
    case
      when 'time_zone' = any (v_columns) then 'u.time_zone::text'
      when 'timezone' = any (v_columns) then 'u.timezone::text'
      else 'null::text'
    end
  );
end
$$;

revoke all on session_approval.people from public, anon, authenticated;

comment on view session_approval.people is
  'The people who can propose or approve: id (uuid), full_name, email, user_type (therapist; individual '
  'or user for clients), is_active, time_zone (IANA or null). Redefine this view if people are kept in '
  'another table.';
