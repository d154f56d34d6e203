-- Insert a valid proposal, or find the proposal that the same person made under the same key. A person
-- who repeats a proposal gets the existing session, also after its start.
--
-- Locks: the idempotency key, so that a second request under the same key waits for the first request's
-- transaction. Then both people's calendars, in the trigger session_approval_slot, unless the proposal
-- is instant.
--
-- Refusals: 422 IDEMPOTENCY_CONFLICT (same key, other content), 409 TIME_SLOT_CONFLICT.

create or replace function session_approval.insert_or_find_proposal(
  p_therapist_id uuid,
  p_patient_id uuid,
  p_start_time timestamptz,
  p_duration_minutes integer,
  p_time_zone text,
  p_session_type text,
  p_title text,
  p_notes text,
  p_is_instant boolean,
  p_request_key text
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- In the column's own type, as of our time zone: the statement runs under the application's.
  v_expires_at constant public.sessions.approval_expires_at%type := (
    select case
      when p_is_instant then now() + settings.instant_ttl
      else least(p_start_time, now() + settings.pending_ttl)
    end
    from session_approval.settings settings
  );
  v_session_id uuid;
begin
  perform session_approval.note_status_change(p_therapist_id, null);

  insert into public.sessions (
    user_id, therapist_id, created_by, status, requires_approval, is_instant, session_type, title,
    notes, start_time, end_time, duration_minutes, time_zone, scheduled_date, scheduled_time,
    approval_expires_at, request_key
  )
  select
    p_patient_id, p_therapist_id, p_therapist_id, 'pending_approval', true, p_is_instant,
    p_session_type, p_title, p_notes, p_start_time,
    p_start_time + make_interval(mins => p_duration_minutes), p_duration_minutes, p_time_zone,
    (p_start_time at time zone p_time_zone)::date,
    date_trunc('second', p_start_time at time zone p_time_zone)::time,
    v_expires_at, p_request_key
  on conflict (created_by, request_key) where request_key is not null do nothing
  returning id into v_session_id;

  if not found then
    perform set_config('session_approval.status_change', '', true);

    select s.id
    into v_session_id
    from public.sessions s
    where s.created_by = p_therapist_id
      and s.request_key = p_request_key
      and s.user_id = p_patient_id
      and s.is_instant = p_is_instant
      and (p_is_instant or s.start_time = p_start_time)
      and s.duration_minutes = p_duration_minutes
      and s.session_type = p_session_type
      and s.title = p_title
      and s.notes is not distinct from p_notes;

    if not found then
      perform session_approval.refuse(
        422, 'IDEMPOTENCY_CONFLICT', 'This idempotency key was used for another proposal');
    end if;
  end if;

  return v_session_id;
end
$$;

comment on function session_approval.insert_or_find_proposal(
  uuid, uuid, timestamptz, integer, text, text, text, text, boolean, text
) is
  'Insert a proposal, or find the same one under the same key; returns its id. 422 when the key was '
  'used for another proposal, 409 when the time is taken.';

revoke all on function session_approval.insert_or_find_proposal(
  uuid, uuid, timestamptz, integer, text, text, text, text, boolean, text
) from public, anon, authenticated;
