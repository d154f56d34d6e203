-- The indexes of migrations/0013_indexes.sql, built while others write. What an interrupted build left, which
-- Postgres keeps up to date and never reads, goes first; where one is there already, nothing happens.
--
-- Nobody queues behind these, and behind what follows: they may wait, and take, as long as they need.

set lock_timeout = 0;
set statement_timeout = 0;

select format('drop index concurrently public.%I', n.name)
from session_approval.install_changes n
join pg_catalog.pg_index i on i.indexrelid = to_regclass('public.' || n.name)
where n.kind = 'index'
  and not i.indisvalid
\gexec

create unique index concurrently if not exists sessions_created_by_request_key_idx
  on public.sessions (created_by, request_key)
  where request_key is not null;
create index concurrently if not exists sessions_user_id_created_at_pending_idx
  on public.sessions (user_id, created_at desc)
  where status = 'pending_approval';
create index concurrently if not exists sessions_approval_expires_at_pending_idx
  on public.sessions (approval_expires_at)
  where status = 'pending_approval';
create index concurrently if not exists sessions_end_time_approved_idx
  on public.sessions (end_time)
  where requires_approval and status in ('scheduled', 'confirmed', 'in_progress');
create index concurrently if not exists sessions_user_id_start_time_idx
  on public.sessions (user_id, start_time desc, id);
create index concurrently if not exists sessions_therapist_id_start_time_idx
  on public.sessions (therapist_id, start_time desc, id);
create index concurrently if not exists user_credits_user_id_idx
  on public.user_credits (user_id);
create index concurrently if not exists user_credits_expires_at_idx
  on public.user_credits (expires_at)
  where credits_balance > 0;
