-- What an act on a session answers with: the session, the video room that it needs, and beside them what the
-- act came to, which the functions fill in.
--
-- A proposed instant session has its room made beforehand, open long enough for an approval at the last
-- moment. A session that is over, or will not happen, needs none.

create or replace view session_approval.session_outcomes as
select
  d.*,
  null::integer as credits_balance_after,
  null::boolean as credits_low,
  null::boolean as already_approved,
  null::boolean as refunded,
  null::timestamptz as refund_expires_at,
  null::text as message,
  case
    when room.closes_at > now() then jsonb_build_object(
      'name', session_approval.room_name(d.id),
      'opens_at', floor(extract(epoch from d.join_opens_at))::bigint,
      'closes_at', floor(extract(epoch from room.closes_at))::bigint,
      'max_participants', 2
    )
  end as room
from session_approval.session_details d
cross join lateral (
  select case
    when d.status in ('scheduled', 'confirmed', 'in_progress') then d.end_time
    when d.status = 'pending_approval' and d.is_instant
      then d.approval_expires_at + make_interval(mins => d.duration_minutes)
  end as closes_at
) room;

revoke all on session_approval.session_outcomes from public, anon, authenticated;

comment on view session_approval.session_outcomes is
  'The shape of an act''s answer: a session, credits_balance_after (credits), credits_low (whether that is '
  'settings.low_balance or fewer), already_approved, refunded, refund_expires_at (when the refunded credit '
  'stops paying; null never), message (a sentence for the screen) and room: for any provider, the room to '
  'make (name, opens_at and closes_at in unix seconds, max_participants) or, of a session that has ended, to '
  'remove (name); null where there is none.';
