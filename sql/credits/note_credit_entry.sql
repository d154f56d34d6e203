-- Tell the ledger's trigger what the very next change of a balance in this transaction is for. The trigger
-- takes the note away as it reads it, so that no later change can pass under the same name.

create or replace function session_approval.note_credit_entry(p_note jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$ select set_config('session_approval.credit_entry', p_note::text, true) $$;

comment on function session_approval.note_credit_entry(jsonb) is
  'Name the next balance change: kind, session_id, actor_id, reason, private_reason, source, '
  'reference, returns_id.';

revoke all on function session_approval.note_credit_entry(jsonb) from public, anon, authenticated;
