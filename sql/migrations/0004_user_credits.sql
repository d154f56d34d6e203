-- What a credit lot needs to be spent in the right order: whether it is active and until when.
-- The columns stand in install/our_columns.sql. Where one is there already, it keeps its type and its rows.

do $$
begin
  perform session_approval.add_column('public.user_credits', ours.name, ours.definition, ours.comment)
  from pg_temp.our_columns ours
  where ours.table_name = 'user_credits';
end
$$;
