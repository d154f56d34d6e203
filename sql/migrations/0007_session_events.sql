-- Every change of every session's status, whoever made it.
-- No foreign key to sessions, so that truncating or deleting them goes on working.

create table if not exists session_approval.session_events (
  id bigint generated always as identity,
  session_id uuid not null,
  from_status text,
  to_status text,
  actor_id uuid,
  reason text,
  created_at timestamptz not null default now(),
  constraint session_events_pkey primary key (id)
);

-- "create index if not exists" keeps writers out even where the index is there.
do $$
begin
  -- get_session: one session's history, in order.
  if to_regclass('session_approval.session_events_session_id_idx') is null then
    create index session_events_session_id_idx
      on session_approval.session_events (session_id, id);
  end if;
end
$$;

revoke all on session_approval.session_events from public, anon, authenticated, service_role;
revoke all on sequence session_approval.session_events_id_seq
  from public, anon, authenticated, service_role;
grant select on session_approval.session_events to service_role;

comment on table session_approval.session_events is
  'One row for every change of any session''s status.';
comment on column session_approval.session_events.id is 'In the order in which the changes were made.';
comment on column session_approval.session_events.session_id is 'The session.';
comment on column session_approval.session_events.from_status is 'Null when it was created.';
comment on column session_approval.session_events.to_status is
  'The status from then on; null where the application set none.';
comment on column session_approval.session_events.actor_id is
  'The person who did it, where the database knows one.';
comment on column session_approval.session_events.reason is 'In the actor''s words.';
comment on column session_approval.session_events.created_at is 'When, by the database''s clock.';
