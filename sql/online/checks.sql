-- Validate the checks that the migrations added or widened for new rows only. Each check reads the
-- existing rows once, while other transactions write.

select format('alter table public.sessions validate constraint %I', k.conname)
from pg_catalog.pg_constraint k
where k.conrelid = 'public.sessions'::regclass
  and not k.convalidated
  and (
    exists (
      select
      from session_approval.install_changes n
      where n.kind = 'check'
        and n.name = k.conname
        and pg_catalog.pg_get_constraintdef(k.oid) = n.became || ' NOT VALID'
    )
    or exists (
      select
      from pg_temp.our_columns ours
      where ours.values is not null
        and k.conname = ours.name || '_is_known'
    )
  )
\gexec
