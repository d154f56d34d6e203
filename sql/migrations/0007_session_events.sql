-- Every change of every session's status or time, by our functions or by other code.
-- There is no foreign key to sessions, so that sessions can still be truncated or deleted.

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

do $$
begin
  perform session_approval.add_column('session_approval.session_events', c.name, c.definition, c.comment)
  from (
    values
      (
        'kind', 'text',
        'What happened, as a person would call it: proposed, approved, moved ... (session_event_kind).'
      ),
      (
        'from_start', 'timestamptz',
        'The start before; null when it was created, and in events from before this column.'
      ),
      (
        'to_start', 'timestamptz',
        'The start from then on, the same where it did not change; null in events from before this column.'
      ),
      (
        'private_reason', 'text',
        'In the actor''s words, for operators alone: never shown to the session''s people.'
      )
  ) as c (name, definition, comment);

  if not exists (
    select
    from pg_catalog.pg_constraint k
    where k.conrelid = 'session_approval.session_events'::regclass
      and k.conname = 'kind_is_known'
  ) then
    perform session_approval.lock_tables('access exclusive', 'session_approval.session_events');

    -- Earlier commits wrote an event only if the status changed. The reason of a cancellation is read
    -- from the session.
    update session_approval.session_events e
    set kind = session_approval.session_event_kind(
      earlier.from_status, earlier.to_status, s.cancellation_reason, false)
    from session_approval.session_events earlier
    left join public.sessions s on s.id = earlier.session_id
    where earlier.id = e.id
      and e.kind is null;

    alter table session_approval.session_events
      add constraint kind_is_known check (
        kind in (
          'proposed', 'approved', 'declined', 'withdrawn', 'expired', 'cancelled', 'moved', 'started',
          'completed', 'no_show', 'corrected', 'objection', 'changed'
        )
      );
    alter table session_approval.session_events alter column kind set not null;
  end if;
end
$$;

-- "create index if not exists" locks writers out even if the index is there.
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
  'One row for every change of any session''s status or time.';
comment on column session_approval.session_events.id is 'The order of the changes.';
comment on column session_approval.session_events.session_id is 'The session that changed.';
comment on column session_approval.session_events.from_status is
  'The status before; null if the session was created.';
comment on column session_approval.session_events.to_status is
  'The status after; null if the application set none.';
comment on column session_approval.session_events.actor_id is
  'The person who made the change; null if the database does not know.';
comment on column session_approval.session_events.reason is 'The reason, in the actor''s words.';
comment on column session_approval.session_events.created_at is
  'The time of the change, by the database''s clock.';
