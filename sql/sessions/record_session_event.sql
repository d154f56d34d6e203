-- Every change of a session's status or time leaves one event. It does not matter who makes the change.
--
-- Our functions write a note beforehand (note_status_change) with the reason and the actor, or with no
-- actor. For a change without a note, the actor is the token's subject, if there is one.

create or replace function session_approval.record_session_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_note jsonb := nullif(current_setting('session_approval.status_change', true), '')::jsonb;
begin
  -- This check is not a condition of the trigger, because Postgres would read the condition again in
  -- every statement.
  if tg_op = 'UPDATE'
    and old.status is not distinct from new.status
    and old.start_time is not distinct from new.start_time
    and old.end_time is not distinct from new.end_time
  then
    return null;
  end if;

  if v_note is not null then
    perform set_config('session_approval.status_change', '', true);
  end if;

  insert into session_approval.session_events (
    session_id, kind, from_status, to_status, from_start, to_start, actor_id, reason, private_reason
  )
  values (
    new.id,
    session_approval.session_event_kind(
      old.status, new.status, new.cancellation_reason,
      tg_op = 'UPDATE' and (old.start_time, old.end_time) is distinct from (new.start_time, new.end_time)),
    old.status,
    new.status,
    old.start_time,
    new.start_time,
    case when v_note is null then auth.uid() else (v_note ->> 'actor_id')::uuid end,
    v_note ->> 'reason',
    v_note ->> 'private_reason'
  );

  return null;
end
$$;

comment on function session_approval.record_session_event() is
  'Writes one row of session_events for a new session, a changed status or a changed time.';

revoke all on function session_approval.record_session_event() from public, anon, authenticated;

create or replace trigger session_approval_event
after update on public.sessions
for each row
execute function session_approval.record_session_event();

create or replace trigger session_approval_first_event
after insert on public.sessions
for each row execute function session_approval.record_session_event();

comment on trigger session_approval_event on public.sessions is
  'Every change of status or time leaves a row in session_approval.session_events.';
comment on trigger session_approval_first_event on public.sessions is
  'Every new session leaves a row in session_approval.session_events.';
