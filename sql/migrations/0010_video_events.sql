-- The events of sessions' video rooms that the video provider reports, each event once. They show who
-- attended a session, and when.
-- There is no foreign key to sessions, so that sessions can still be truncated or deleted.

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

-- "create index if not exists" locks writers out even if the index is there.
do $$
begin
  -- record_video_event: whether a session's meeting has ended, and who attended it, in order.
  if to_regclass('session_approval.video_events_session_id_idx') is null then
    create index video_events_session_id_idx
      on session_approval.video_events (session_id, occurred_at);
  end if;
end
$$;

revoke all on session_approval.video_events from public, anon, authenticated, service_role;
grant select on session_approval.video_events to service_role;

comment on table session_approval.video_events is
  'One row for every event of a session''s video room: the meeting started or ended, a person came or '
  'went.';
comment on column session_approval.video_events.id is
  'The provider''s own id. If the provider reports an event twice, it is kept once.';
comment on column session_approval.video_events.session_id is 'The session of the video room.';
comment on column session_approval.video_events.type is
  'meeting.started, participant.joined, participant.left or meeting.ended.';
comment on column session_approval.video_events.user_id is
  'The person who came or went; null for a meeting, and for a person without a token of ours.';
comment on column session_approval.video_events.occurred_at is
  'When it happened, by the provider''s clock. Events may arrive late and in any order.';
comment on column session_approval.video_events.received_at is
  'When it arrived, by the database''s clock.';
