-- What the video provider tells of sessions' rooms, each event once: who attended, from when to when.
-- No foreign key to sessions, so that truncating or deleting them goes on working.

create table if not exists session_approval.video_events (
  id text,
  session_id uuid not null,
  type text not null,
  user_id uuid,
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  constraint video_events_pkey primary key (id),
  constraint type_is_known check (
    type in ('meeting.started', 'participant.joined', 'participant.left', 'meeting.ended')
  )
);

-- "create index if not exists" keeps writers out even where the index is there.
do $$
begin
  -- record_video_event: whether a session's meeting has ended; and who attended it, in order.
  if to_regclass('session_approval.video_events_session_id_idx') is null then
    create index video_events_session_id_idx
      on session_approval.video_events (session_id, occurred_at);
  end if;
end
$$;

revoke all on session_approval.video_events from public, anon, authenticated, service_role;
grant select on session_approval.video_events to service_role;

comment on table session_approval.video_events is
  'One row for every event of a session''s video room: its meeting started or ended, somebody came or '
  'went.';
comment on column session_approval.video_events.id is
  'The provider''s own id; an event that is told again is not kept again.';
comment on column session_approval.video_events.session_id is 'The session whose room it was.';
comment on column session_approval.video_events.type is
  'meeting.started, participant.joined, participant.left or meeting.ended.';
comment on column session_approval.video_events.user_id is
  'Who came or went; null for a meeting, and for somebody without a token of ours.';
comment on column session_approval.video_events.occurred_at is
  'When, by the provider''s clock; its events may be told late and in any order.';
comment on column session_approval.video_events.received_at is 'When it was told, by the database''s clock.';
