-- Up to five times at which all of these people are free, as JSON: nearest to the wanted time first, and
-- at most p_within away from it. They are in the future, and on quarters of an hour.
--
-- A start is taken when it lies inside an open range around another session. The range begins at the
-- latest start that ends in time for the other session and the buffer before it. The range ends when the
-- other session and the buffer after it are over.

create or replace function session_approval.free_times_within(
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_except_id uuid,
  p_time_zone text,
  p_within interval
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with taken as materialized (
    select range_agg(
      tstzrange(
        h.start_time - settings.buffer - (p_end_time - p_start_time), h.end_time + settings.buffer,
        '()')
    ) as starts
    from session_approval.settings settings
    cross join lateral session_approval.busy_sessions(
      p_people,
      p_start_time - p_within - settings.buffer,
      p_end_time + p_within + settings.buffer) h
    where h.id is distinct from p_except_id
  ),
  nearest as (
    select quarter.at
    from generate_series(
      date_bin('15 minutes', p_start_time - p_within, '2000-01-01 00:00+00'),
      p_start_time + p_within,
      '15 minutes'
    ) quarter (at)
    cross join taken
    where quarter.at > now()
      and quarter.at >= p_start_time - p_within
      and (taken.starts @> quarter.at) is not true
    order by abs(extract(epoch from quarter.at - p_start_time)), quarter.at
    limit 5
  )
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'time', n.at,
        'label', to_char(n.at at time zone p_time_zone, 'Dy FMDD Mon, HH24:MI')
      )
      order by abs(extract(epoch from n.at - p_start_time)), n.at
    ),
    '[]'
  )
  from nearest n
$$;

comment on function session_approval.free_times_within(
  uuid[], timestamptz, timestamptz, uuid, text, interval
) is 'Up to five free times near the wanted one: [{time, label}], the label in the given time zone.';

revoke all on function session_approval.free_times_within(
  uuid[], timestamptz, timestamptz, uuid, text, interval
) from public, anon, authenticated;
