-- What the two people of a session see of it. Every function that answers with sessions returns these
-- rows, as public.session_answer. A new column must be added in both places; a test compares the two.
--
-- No role has a grant on the view. The function that reads it decides which rows a caller gets. A view
-- in an exposed schema would leave that to row level security, which an installation may have switched
-- off.
-- A proposal that was not answered in time reads as cancelled from that moment on, whether or not the
-- sweep has run. The room's address and name stay hidden until the session is approved. If it is never
-- approved they stay hidden for good, even when older code wrote them into a waiting row.
--
-- Older installations keep created_at, cancelled_at and other columns without a time zone, in UTC. The
-- epoch of a moment is the same number for both types.

create or replace view session_approval.session_details as
select
  s.id,
  s.user_id,
  s.therapist_id,
  s.title::text as title,
  s.description::text as description,
  s.notes::text as notes,
  s.scheduled_date::date as scheduled_date,
  s.scheduled_time::time as scheduled_time,
  s.start_time,
  s.end_time,
  coalesce(
    s.duration_minutes, extract(epoch from s.end_time - s.start_time) / 60
  )::integer as duration_minutes,
  s.session_type::text as session_type,
  case when standing.has_expired then 'cancelled' else s.status::text end as status,
  to_timestamp(extract(epoch from s.created_at)) as created_at,
  coalesce(s.is_instant, false) as is_instant,
  coalesce(s.requires_approval, false) as requires_approval,
  s.created_by,
  to_timestamp(extract(epoch from s.approval_expires_at)) as approval_expires_at,
  to_timestamp(extract(epoch from s.approved_at)) as approved_at,
  s.time_zone::text as time_zone,
  case when standing.shows_room then s.session_url::text end as session_url,
  case when standing.shows_room then s.room_name::text end as room_name,
  case when standing.shows_room then s.daily_room_url::text end as daily_room_url,
  case when standing.shows_room then s.daily_room_name::text end as daily_room_name,
  case
    when s.status in ('scheduled', 'confirmed', 'in_progress') then s.start_time - settings.join_early
  end as join_opens_at,
  case
    when standing.has_expired then 'expired'
    else s.cancellation_reason::text
  end as cancellation_reason,
  s.cancelled_by::text as cancelled_by,
  case
    when standing.has_expired then to_timestamp(extract(epoch from s.approval_expires_at))
    else to_timestamp(extract(epoch from s.cancelled_at))
  end as cancelled_at,
  jsonb_build_object(
    'id', s.therapist_id, 'full_name', therapist.full_name, 'email', therapist.email
  ) as therapist,
  jsonb_build_object(
    'id', s.user_id, 'full_name', client.full_name, 'email', client.email
  ) as client,
  s.series_id,
  s.free_cancel_until,
  s.no_show_by::text as no_show_by
from public.sessions s
cross join session_approval.settings settings
cross join lateral (
  select
    s.status = 'pending_approval' and s.approval_expires_at <= now() as has_expired,
    s.status <> 'pending_approval'
      and (s.status <> 'cancelled' or s.approved_at is not null) as shows_room
) standing
left join session_approval.people therapist on therapist.id = s.therapist_id
left join session_approval.people client on client.id = s.user_id;

revoke all on session_approval.session_details from public, anon, authenticated;

comment on view session_approval.session_details is
  'A session as its two people see it: create, approve, list and get return these columns.';
