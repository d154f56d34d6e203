-- How a session that needs approval may go from one status to another. A DBA can read this table, and
-- guard_session follows it.
--
-- People with a token may write the changes marked direct_write_allowed themselves, as existing screens
-- do. Only the functions may write the others. service_role and the owner can write any; each change is
-- recorded.

create table if not exists session_approval.transitions (
  from_status text,
  to_status text,
  act text not null,
  direct_write_allowed boolean not null,
  constraint transitions_pkey primary key (from_status, to_status),
  constraint a_transition_leads_elsewhere check (from_status <> to_status)
);

insert into session_approval.transitions (from_status, to_status, act, direct_write_allowed)
values
  ('pending_approval', 'scheduled', 'approve', false),
  ('pending_approval', 'confirmed', 'approve, when instant', false),
  ('pending_approval', 'cancelled', 'decline, withdraw or expire', true),
  ('scheduled', 'confirmed', 'confirm', true),
  ('confirmed', 'scheduled', 'take a confirmation back', true),
  ('scheduled', 'in_progress', 'join', true),
  ('confirmed', 'in_progress', 'join', true),
  ('scheduled', 'completed', 'finish', true),
  ('confirmed', 'completed', 'finish', true),
  ('in_progress', 'completed', 'finish', true),
  ('scheduled', 'no_show', 'finish', true),
  ('confirmed', 'no_show', 'finish', true),
  ('in_progress', 'no_show', 'finish', true),
  ('scheduled', 'cancelled', 'cancel', true),
  ('confirmed', 'cancelled', 'cancel', true),
  ('in_progress', 'cancelled', 'break off', true),
  ('completed', 'no_show', 'correct', true),
  ('no_show', 'completed', 'correct', true)
on conflict (from_status, to_status) do nothing;

revoke all on session_approval.transitions from public, anon, authenticated, service_role;
-- guard_session runs as the person who writes, so that person must be able to read this table.
grant select on session_approval.transitions to authenticated, service_role;

comment on table session_approval.transitions is
  'How the status of a session that needs approval may change.';
comment on column session_approval.transitions.from_status is 'The status before.';
comment on column session_approval.transitions.to_status is 'The status after.';
comment on column session_approval.transitions.act is 'The act that makes the change.';
comment on column session_approval.transitions.direct_write_allowed is
  'Whether the session''s people may write the change themselves; if not, only the functions write it.';
