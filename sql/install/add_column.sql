-- Add a column to a table if the table does not have it, and comment the column.
--
-- p_definition: as in "alter table ... add column".
-- p_comment: null keeps the comment that the column has.
--
-- Caller: the install alone. Locks: the table, against readers and writers, only if the column is
-- missing.

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
  'Add a column to a table if the table does not have it, and comment the column.';

revoke all on function session_approval.add_column(text, text, text, text) from public, anon, authenticated;
