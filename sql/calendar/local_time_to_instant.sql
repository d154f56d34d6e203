-- The instant at which the clocks of a time zone show a local time. It is null when the clocks never
-- show that time (the hour that they skip in spring). It is the first of two instants when they show it
-- twice (the hour that they repeat in autumn).
--
-- Postgres alone would move a skipped time, and would take the second of two instants. So this function
-- tries every offset that can apply. Offsets change by at most three hours, in steps of fifteen minutes
-- or more.

create or replace function session_approval.local_time_to_instant(
  p_local timestamp,
  p_time_zone text,
  out instant timestamptz,
  out occurs_twice boolean
)
language sql
stable
security invoker
set search_path = ''
as $$
  select min(candidate.instant), count(*) > 1
  from (
    select (p_local at time zone p_time_zone) - make_interval(mins => step.minutes) as instant
    from generate_series(-180, 180, 15) as step (minutes)
  ) candidate
  where candidate.instant at time zone p_time_zone = p_local
$$;

comment on function session_approval.local_time_to_instant(timestamp, text) is
  'The first instant of a local time in a time zone (null when that time does not exist), and whether '
  'the local time occurs twice.';

revoke all on function session_approval.local_time_to_instant(timestamp, text)
  from public, anon, authenticated;
