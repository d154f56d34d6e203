-- A moment, whatever type an installation stores it in: older ones keep UTC without a zone. The functions
-- that write such a column run with timezone UTC for that reason.

create or replace function session_approval.instant(p_moment timestamptz)
returns timestamptz
language sql
immutable
security invoker
set search_path = ''
as $$ select p_moment $$;

create or replace function session_approval.instant(p_moment timestamp)
returns timestamptz
language sql
immutable
security invoker
set search_path = ''
as $$ select p_moment at time zone 'UTC' $$;

comment on function session_approval.instant(timestamptz) is 'The moment itself.';
comment on function session_approval.instant(timestamp) is
  'The moment that a timestamp without time zone means: UTC, never the server''s own zone.';

revoke all on function session_approval.instant(timestamptz) from public, anon, authenticated;
revoke all on function session_approval.instant(timestamp) from public, anon, authenticated;
