-- When a proposal starts. An instant proposal starts now. Another one starts at the given instant, or
-- else at the instant of its local time.
--
-- Refusals: 422 NONEXISTENT_LOCAL_TIME, when the clocks of the time zone skip that time.

create or replace function session_approval.proposed_start(
  p_is_instant boolean,
  p_start_time timestamptz,
  p_local timestamp,
  p_time_zone text,
  out start_time timestamptz,
  out occurs_twice boolean
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  start_time := case when p_is_instant then now() else p_start_time end;
  occurs_twice := false;

  if start_time is null then
    select t.instant, t.occurs_twice
    into start_time, occurs_twice
    from session_approval.local_time_to_instant(p_local, p_time_zone) t;
  end if;

  if start_time is null then
    perform session_approval.refuse(
      422, 'NONEXISTENT_LOCAL_TIME',
      format('The clocks in %s skip %s', p_time_zone, to_char(p_local, 'HH24:MI on FMDD FMMonth YYYY')),
      jsonb_build_object('session_time', 'does not exist on that day in ' || p_time_zone));
  end if;
end
$$;

comment on function session_approval.proposed_start(boolean, timestamptz, timestamp, text) is
  'The instant at which a proposal starts, and whether its local time occurs twice.';

revoke all on function session_approval.proposed_start(boolean, timestamptz, timestamp, text)
  from public, anon, authenticated;
