-- Add the columns that decide which lot is spent first: whether a lot is active, and until when.
-- install/our_columns.sql lists the columns. A column that is there already keeps its type and its
-- values.

do $$
begin
  perform session_approval.add_column('public.user_credits', ours.name, ours.definition, ours.comment)
  from pg_temp.our_columns ours
  where ours.table_name = 'user_credits';
end
$$;
