-- One session with everything that happened to it, oldest first: what get_session answers with.

create or replace view session_approval.session_histories as
select
  d.*,
  coalesce(
    (
      select jsonb_agg(
        jsonb_build_object(
          'kind', e.kind,
          'from_status', e.from_status,
          'to_status', e.to_status,
          'from_start', e.from_start,
          'to_start', e.to_start,
          'actor_id', e.actor_id,
          'reason', e.reason,
          'created_at', e.created_at
        )
        order by e.id
      )
      from session_approval.session_events e
      where e.session_id = d.id
    ),
    '[]'::jsonb
  ) as events
from session_approval.session_details d;

revoke all on session_approval.session_histories from public, anon, authenticated;

comment on view session_approval.session_histories is
  'A session in its public shape, with events: every change of its status or time, oldest first.';
