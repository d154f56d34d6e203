-- Why a session was cancelled, as far as our functions wrote it: null for what an application wrote there in
-- words of its own. A refusal's details go to Postgres's log, where nobody's words belong.

create or replace function session_approval.coded_reason(p_cancellation_reason text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select case
    when p_cancellation_reason in (
      'declined', 'withdrawn', 'expired', 'cancelled_by_client', 'cancelled_by_therapist'
    ) then p_cancellation_reason
  end
$$;

comment on function session_approval.coded_reason(text) is
  'A cancellation_reason that is one of ours; null for an application''s own words.';

revoke all on function session_approval.coded_reason(text) from public, anon, authenticated;
