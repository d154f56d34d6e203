-- The sessions that are in the way of a new one, as JSON: the earliest first, ten at most. Every caller
-- learns the times. Only the therapist who gives a session also learns its id.
--
-- The details of a refusal hold this result, and they go to Postgres's log. So it has no title and no
-- name; named_conflicts adds them.

create or replace function session_approval.conflicting_sessions(
  p_viewer_id uuid,
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_except_id uuid
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object('start_time', h.start_time, 'end_time', h.end_time)
        || case
          when h.therapist_id = p_viewer_id then jsonb_build_object('id', h.id)
          else '{}'
        end
      order by h.start_time, h.id
    ),
    '[]'
  )
  from (
    select busy.*
    from session_approval.settings settings
    cross join lateral session_approval.busy_sessions(
      p_people, p_start_time - settings.buffer, p_end_time + settings.buffer) busy
    where busy.id is distinct from p_except_id
    order by busy.start_time, busy.id
    limit 10
  ) h
$$;

comment on function session_approval.conflicting_sessions(
  uuid, uuid[], timestamptz, timestamptz, uuid
) is 'The sessions in the way of a session of these people at this time: [{start_time, end_time}], and '
  'also id for the therapist who gives that session.';

revoke all on function session_approval.conflicting_sessions(
  uuid, uuid[], timestamptz, timestamptz, uuid
) from public, anon, authenticated;
