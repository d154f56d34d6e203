-- A session in the form in which an act returns it: its columns, and in beside the video room that it
-- needs. The acts add to beside what they did.
--
-- The room of an instant session is made when the session is proposed. It stays open long enough for an
-- approval at the last moment. A session that is over, or will not take place, needs no room.

create or replace view session_approval.session_answers as
select
  d.*,
  jsonb_build_object('room', case
    when room.closes_at > now() then jsonb_build_object(
      'name', session_approval.room_name(d.id),
      'opens_at', floor(extract(epoch from d.join_opens_at))::bigint,
      'closes_at', floor(extract(epoch from room.closes_at))::bigint,
      'max_participants', 2
    )
  end) as beside
from session_approval.session_details d
cross join lateral (
  select case
    when d.status in ('scheduled', 'confirmed', 'in_progress') then d.end_time
    when d.status = 'pending_approval' and d.is_instant
      then d.approval_expires_at + make_interval(mins => d.duration_minutes)
  end as closes_at
) room;

revoke all on session_approval.session_answers from public, anon, authenticated;

comment on view session_approval.session_answers is
  'The rows of public.session_answer, before an act adds to them: a session, and in beside its room. '
  'For any provider, room is the video room to make (name, opens_at and closes_at in unix seconds, '
  'max_participants), or null when the session needs none. An act adds message and, where it applies, '
  'credits_balance_after (credits), credits_low (whether the balance is settings.low_balance or less), '
  'already_approved, refunded, and refund_expires_at (when the refunded credit stops paying; null means '
  'never). For a session that has ended, room is the room to remove (name).';
