-- Whether a name is an IANA time zone. Postgres also accepts POSIX zones, which turn a typing error
-- ("Londn5") into five hours west of Greenwich. This function does not accept them.

create or replace function session_approval.is_time_zone(p_name text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_name !~ '^([A-Za-z_-]+(/[A-Za-z_-]+)+|Etc/GMT[+-][0-9]{1,2}|UTC|GMT)$' then
    return false;
  end if;

  perform now() at time zone p_name;
  return true;
exception
  when invalid_parameter_value then
    return false;
end
$$;

comment on function session_approval.is_time_zone(text) is
  'Whether this is an IANA time zone, such as Europe/London. Source: the server''s tz database.';

revoke all on function session_approval.is_time_zone(text) from public, anon, authenticated;
