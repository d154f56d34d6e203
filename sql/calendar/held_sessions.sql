-- Every session that holds its two people's time, whoever made it: what is approved and not over, and by
-- policy (settings.block_pending_slots) a scheduled proposal that can still be answered. A waiting instant
-- one holds nothing: its time is when it is approved.

create or replace view session_approval.held_sessions as
select
  s.id,
  s.user_id,
  s.therapist_id,
  s.start_time,
  coalesce(s.end_time, s.start_time + make_interval(mins => s.duration_minutes::integer)) as end_time
from public.sessions s
cross join session_approval.settings settings
where s.status in ('scheduled', 'confirmed', 'in_progress')
  or (
    s.status = 'pending_approval'
    and s.is_instant is not true
    and settings.block_pending_slots
    and coalesce(s.approval_expires_at > now(), true)
  );

revoke all on session_approval.held_sessions from public, anon, authenticated;

comment on view session_approval.held_sessions is
  'The sessions that hold the time of their therapist and their client.';
