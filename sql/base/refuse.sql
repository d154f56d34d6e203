-- An implementation refuses a request only with this function. PostgREST turns the SQLSTATE PTxyz into
-- HTTP status xyz.
--
-- Raising undoes everything that the caller's transaction did. Never use 40001: PostgREST before 16
-- would retry it without end.

create or replace function session_approval.refuse(
  p_status integer,
  p_code text,
  p_message text,
  p_details jsonb default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PT' || p_status,
    message = p_message,
    hint = p_code,
    detail = coalesce(p_details::text, 'null');
end
$$;

comment on function session_approval.refuse(integer, text, text, jsonb) is
  'Raise a refusal: HTTP status, code for programs, sentence for people, details as JSON or null.';

revoke all on function session_approval.refuse(integer, text, text, jsonb)
  from public, anon, authenticated;
