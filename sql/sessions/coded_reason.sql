-- The reason of a cancellation, if one of our functions wrote it. It is null when an application wrote
-- the reason in its own words: the details of a refusal go to Postgres's log, and the log must not hold
-- what people wrote.

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
