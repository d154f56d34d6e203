-- Tell the events' trigger who makes the next change of a status in this transaction, and for which
-- reason. The trigger removes the note when it reads it.
--
-- Refusals: 400 VALIDATION_ERROR (reason too long).

create or replace function session_approval.note_status_change(p_actor_id uuid, p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if length(p_reason) > 1000 then
    perform session_approval.refuse(
      400, 'VALIDATION_ERROR', 'The reason is too long',
      jsonb_build_object('reason', 'must be at most 1000 characters'));
  end if;

  perform set_config(
    'session_approval.status_change',
    jsonb_build_object('actor_id', p_actor_id, 'reason', nullif(btrim(p_reason), ''))::text,
    true);
end
$$;

comment on function session_approval.note_status_change(uuid, text) is
  'Name the actor and the reason of the next change of a status; 400 when the reason is too long.';

revoke all on function session_approval.note_status_change(uuid, text)
  from public, anon, authenticated;
