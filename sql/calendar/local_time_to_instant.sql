-- The instant at which the clocks of a time zone show a local time: null when they never do (the hour that
-- spring skips), the first of the two when they do so twice (the hour that autumn repeats).
--
-- Postgres alone would move a skipped time and take the second of two, so every offset that can apply is
-- tried. Offsets change by at most three hours, in steps of fifteen minutes or more.

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
  'The first instant of a local time in a time zone, null where it does not exist, and whether it '
  'occurs twice.';

revoke all on function session_approval.local_time_to_instant(timestamp, text)
  from public, anon, authenticated;
