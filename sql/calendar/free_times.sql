-- Up to five times at which all of these people are free, nearest to the wanted time first, as JSON. The
-- search covers a day before and after. If it finds fewer than five, it covers a week before and after,
-- which takes longer.

create or replace function session_approval.free_times(
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_except_id uuid,
  p_time_zone text
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_times jsonb := session_approval.free_times_within(
    p_people, p_start_time, p_end_time, p_except_id, p_time_zone, interval '1 day');
begin
  if jsonb_array_length(v_times) < 5 then
    v_times := session_approval.free_times_within(
      p_people, p_start_time, p_end_time, p_except_id, p_time_zone, interval '7 days');
  end if;

  return v_times;
end
$$;

comment on function session_approval.free_times(uuid[], timestamptz, timestamptz, uuid, text) is
  'Up to five free times near the wanted one: [{time, label}], the label in the given time zone.';

revoke all on function session_approval.free_times(uuid[], timestamptz, timestamptz, uuid, text)
  from public, anon, authenticated;
