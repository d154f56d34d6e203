-- Tells the ledger's trigger the purpose of the next balance change in this transaction. The trigger
-- removes the note when it reads it, so that a later change cannot use the same note.

create or replace function session_approval.note_credit_entry(p_note jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$ select set_config('session_approval.credit_entry', p_note::text, true) $$;

comment on function session_approval.note_credit_entry(jsonb) is
  'Describe the next balance change: kind, session_id, actor_id, reason, private_reason, source, '
  'reference, returns_id.';

revoke all on function session_approval.note_credit_entry(jsonb) from public, anon, authenticated;
