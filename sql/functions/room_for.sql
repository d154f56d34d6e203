-- What a session's video room must be, for whichever provider makes it; null when none is needed.
--
-- A proposed instant session has its room made beforehand, open long enough for an approval at the last
-- moment. A session that is over, or will not happen, needs none.

create or replace function session_approval.room_for(p_session_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'name', session_approval.room_name(d.id),
    'opens_at', floor(extract(epoch from d.join_opens_at))::bigint,
    'closes_at', floor(extract(epoch from closing.at))::bigint,
    'max_participants', 2
  )
  from session_approval.session_details d
  cross join lateral (
    select case
      when d.status in ('scheduled', 'confirmed', 'in_progress') then d.end_time
      when d.status = 'pending_approval' and d.is_instant
        then d.approval_expires_at + make_interval(mins => d.duration_minutes)
    end as at
  ) closing
  where d.id = p_session_id
    and closing.at > now()
$$;

comment on function session_approval.room_for(uuid) is
  'The room that a session needs: name, opens_at and closes_at (unix seconds), max_participants.';

revoke all on function session_approval.room_for(uuid) from public, anon, authenticated;
