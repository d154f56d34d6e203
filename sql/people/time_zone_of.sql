-- The time zone in which a person reads times: the person's own, else p_otherwise, else the
-- installation's default. The first two count only if they are valid.

create or replace function session_approval.time_zone_of(p_person_id uuid, p_otherwise text)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    (
      select p.time_zone
      from session_approval.people p
      where p.id = p_person_id
        and session_approval.is_time_zone(p.time_zone)
    ),
    case when session_approval.is_time_zone(p_otherwise) then p_otherwise end,
    settings.default_time_zone
  )
  from session_approval.settings settings
$$;

comment on function session_approval.time_zone_of(uuid, text) is
  'The IANA time zone in which a person reads times.';

revoke all on function session_approval.time_zone_of(uuid, text) from public, anon, authenticated;
