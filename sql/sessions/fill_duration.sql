-- Some projects keep a session's length in a column duration, beside duration_minutes. This trigger also
-- fills duration for sessions that were proposed here. Without it, the column's default would show
-- another length on the project's screens.
--
-- The trigger exists only where the column exists and holds a number. It does not change what other code
-- writes.

create or replace function session_approval.fill_duration()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.duration := new.duration_minutes;

  return new;
end
$$;

comment on function session_approval.fill_duration() is
  'Writes duration_minutes into duration as well, for projects that have both.';

revoke all on function session_approval.fill_duration() from public, anon, authenticated;

do $$
begin
  if not exists (
    select
    from pg_catalog.pg_attribute a
    where a.attrelid = 'public.sessions'::regclass
      and a.attname = 'duration'
      and a.atttypid in (
        'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype, 'real'::regtype,
        'double precision'::regtype
      )
  ) then
    if exists (
      select
      from pg_catalog.pg_trigger t
      where t.tgrelid = 'public.sessions'::regclass
        and t.tgname = 'session_approval_duration'
    ) then
      drop trigger session_approval_duration on public.sessions;
    end if;

    return;
  end if;

  create or replace trigger session_approval_duration
  before insert on public.sessions
  for each row
  when (new.requires_approval and new.duration_minutes is not null)
  execute function session_approval.fill_duration();

  comment on trigger session_approval_duration on public.sessions is
    'A proposed session also has its length in the column duration.';
end
$$;
