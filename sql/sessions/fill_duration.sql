-- Projects that keep a session's length in a column duration, beside duration_minutes, find it there for
-- sessions that were proposed here as well: its default would tell their screens another length.
--
-- Only where the column is there, and holds a number. What other code writes is left alone.

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
    'A proposed session has its length in duration too.';
end
$$;
