-- The statement that puts back a widened check on sessions.status. It is null if the check cannot be put
-- back, and "what" then says why. A check that was changed after the install belongs to the application
-- and is kept. The widened check is also kept if a session has a status that the old check did not
-- allow.

create or replace function session_approval.restored_status_check(
  p_name text,
  p_was text,
  p_became text,
  out what text,
  out statement text
)
returns record
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_is_now text;
  v_validity text;
  v_sessions bigint;
begin
  select
    pg_catalog.pg_get_constraintdef(k.oid),
    case when p_became like '% NOT VALID' then ' not valid' else '' end
  into v_is_now, v_validity
  from pg_catalog.pg_constraint k
  where k.conrelid = 'public.sessions'::regclass
    and k.conname = p_name;

  -- After an interrupted sql/online the check may still be "not valid".
  if v_is_now is distinct from p_became and v_is_now is distinct from p_became || ' NOT VALID' then
    what := format('kept: check %I on sessions, which was changed after the install', p_name);

    return;
  end if;

  execute format(
    'select count(*) from public.sessions s where not (%s) and s.status in '
    '(''pending_approval'', ''scheduled'', ''confirmed'', ''in_progress'', ''completed'', ''no_show'', '
    '''cancelled'')', p_was)
  into v_sessions;

  if v_sessions > 0 then
    what := format(
      'kept: check %I on sessions, widened: %s sessions have a status that it did not allow',
      p_name, v_sessions);

    return;
  end if;

  what := format('put back: check %I on sessions', p_name);
  statement := format(
    'alter table public.sessions drop constraint %1$I, add constraint %1$I check (%2$s)%3$s',
    p_name, p_was, v_validity);
end
$$;

comment on function session_approval.restored_status_check(text, text, text) is
  'What uninstall_plan does with a widened check on sessions.status, and the statement for it.';

revoke all on function session_approval.restored_status_check(text, text, text)
  from public, anon, authenticated;
