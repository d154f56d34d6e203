-- How a session that needs approval may go from one status to another, for a DBA to read and for the guard to
-- obey: people with a token may write those marked direct_write_allowed themselves, as existing screens do;
-- the others are the functions' alone. service_role and the owner can write any; what they do is recorded.

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
-- guard_session reads it as the person who writes.
grant select on session_approval.transitions to authenticated, service_role;

comment on table session_approval.transitions is
  'The ways from one status to another of a session that needs approval.';
comment on column session_approval.transitions.from_status is 'The status before.';
comment on column session_approval.transitions.to_status is 'The status afterwards.';
comment on column session_approval.transitions.act is 'What brings it about.';
comment on column session_approval.transitions.direct_write_allowed is
  'Whether the session''s people may write it themselves; if not, only the functions do it for them.';
