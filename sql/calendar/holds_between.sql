-- Whether a session holds the time of its two people at any moment between the two given moments.

create or replace function session_approval.holds_between(
  p_session_id uuid,
  p_from timestamptz,
  p_until timestamptz
)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from session_approval.held_sessions h
    where h.id = p_session_id
      and h.start_time < p_until
      and h.end_time > p_from
  )
$$;

comment on function session_approval.holds_between(uuid, timestamptz, timestamptz) is
  'Whether a session holds time between two moments.';

revoke all on function session_approval.holds_between(uuid, timestamptz, timestamptz)
  from public, anon, authenticated;
