-- The kind of an event. It depends on what changed: the status, the reason of a cancellation, the time.
--
-- A change of status counts before a change of time: an instant session that starts on approval is
-- approved, not moved. The kind objection never comes from here, because an objection changes nothing.
-- The kind changed is for a change that has no name of its own, such as a session that other code
-- inserts, or a confirmation.

create or replace function session_approval.session_event_kind(
  p_from_status text,
  p_to_status text,
  p_cancellation_reason text,
  p_is_moved boolean
)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return case
    when p_from_status = p_to_status then case when p_is_moved then 'moved' else 'changed' end
    when p_to_status = 'pending_approval' then
      case when p_from_status is null then 'proposed' else 'changed' end
    when p_from_status = 'pending_approval' and p_to_status in ('scheduled', 'confirmed') then 'approved'
    when p_from_status = 'pending_approval'
      and p_to_status = 'cancelled'
      and p_cancellation_reason in ('declined', 'withdrawn', 'expired')
      then p_cancellation_reason
    when p_from_status in ('completed', 'no_show') and p_to_status in ('completed', 'no_show')
      then 'corrected'
    when p_to_status = 'in_progress' then 'started'
    when p_to_status in ('cancelled', 'completed', 'no_show') then p_to_status
    when p_is_moved then 'moved'
    else 'changed'
  end;
end
$$;

comment on function session_approval.session_event_kind(text, text, text, boolean) is
  'The kind of a session''s event: proposed, approved, declined, withdrawn, expired, cancelled, moved, '
  'started, completed, no_show, corrected or changed.';

revoke all on function session_approval.session_event_kind(text, text, text, boolean)
  from public, anon, authenticated;
