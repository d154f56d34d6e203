-- Whether a name is an IANA time zone. Postgres alone would also take POSIX zones, so that a slip of the
-- finger ("Londn5") becomes five hours west of Greenwich; those are no zone here.

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
  'Whether this names an IANA time zone, such as Europe/London. Source: the server''s tz database.';

revoke all on function session_approval.is_time_zone(text) from public, anon, authenticated;
