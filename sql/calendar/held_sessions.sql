-- Every session that holds the time of its two people. It does not matter who made it. An approved
-- session holds its time until it is over. A scheduled proposal holds its time while it can still be
-- answered, if the policy says so (settings.block_pending_slots). An instant proposal holds no time
-- before it is approved, because its time begins when it is approved.

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
