-- Add a column to a table where it is missing, and say what it is for. p_definition: as in "alter table ...
-- add column"; p_comment: null leaves the comment that is there.
--
-- Caller: the install alone. Locks: the table, against everybody, and only where the column is missing.

create or replace function session_approval.add_column(
  p_table text,
  p_name text,
  p_definition text,
  p_comment text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if not exists (
    select
    from pg_catalog.pg_attribute a
    where a.attrelid = p_table::regclass
      and a.attname = p_name
  ) then
    perform session_approval.lock_tables('access exclusive', p_table);

    execute format('alter table %s add column %I %s', p_table::regclass, p_name, p_definition);
  end if;

  if p_comment is not null then
    execute format('comment on column %s.%I is %L', p_table::regclass, p_name, p_comment);
  end if;
end
$$;

comment on function session_approval.add_column(text, text, text, text) is
  'Add a column to a table where it is missing, and comment it.';

revoke all on function session_approval.add_column(text, text, text, text) from public, anon, authenticated;
