-- The instant that a text in ISO 8601 with an offset from UTC names, or null when the text is anything
-- else.
--
-- Postgres alone would also accept a time without an offset, and read it in the connection's time zone.
-- It would also accept words such as tomorrow, now or infinity. So this function checks the form first.

create or replace function session_approval.parse_instant(p_text text)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_text ~* '^\d{4}-\d{2}-\d{2}[t ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(z|[+-]\d{2}(:?\d{2})?)$' then
    return replace(p_text, ',', '.')::timestamptz;
  end if;

  return null;
exception
  when datetime_field_overflow or invalid_datetime_format or invalid_time_zone_displacement_value then
    return null;
end
$$;

comment on function session_approval.parse_instant(text) is
  'The instant of a text in ISO 8601 with an offset, such as 2030-01-31T10:00:00+01:00; else null.';

revoke all on function session_approval.parse_instant(text) from public, anon, authenticated;
