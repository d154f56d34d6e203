-- The indexes of the application's tables that the functions need, each with what reads it. Where they are
-- missing they are built here, and writers wait; sql/online builds the same beforehand, and nobody waits.
-- ("create index if not exists" would keep writers out even where the index is there.)

do $$
declare
  v_unfinished text;
begin
  -- What an interrupted "create index concurrently" of ours left.
  for v_unfinished in
    select n.name
    from session_approval.install_changes n
    join pg_catalog.pg_index i on i.indexrelid = to_regclass('public.' || n.name)
    where n.kind = 'index'
      and not i.indisvalid
  loop
    execute format('drop index public.%I', v_unfinished);
  end loop;

  -- One proposal per idempotency key: create_custom_session inserts "on conflict do nothing" on it.
  if to_regclass('public.sessions_created_by_request_key_idx') is null then
    create unique index sessions_created_by_request_key_idx
      on public.sessions (created_by, request_key)
      where request_key is not null;
  end if;

  -- list_pending_sessions: a client's unanswered proposals, newest first.
  if to_regclass('public.sessions_user_id_created_at_pending_idx') is null then
    create index sessions_user_id_created_at_pending_idx
      on public.sessions (user_id, created_at desc)
      where status = 'pending_approval';
  end if;

  -- sweep_sessions: proposals whose time to answer is over.
  if to_regclass('public.sessions_approval_expires_at_pending_idx') is null then
    create index sessions_approval_expires_at_pending_idx
      on public.sessions (approval_expires_at)
      where status = 'pending_approval';
  end if;

  -- sweep_sessions: approved sessions whose end has passed.
  if to_regclass('public.sessions_end_time_approved_idx') is null then
    create index sessions_end_time_approved_idx
      on public.sessions (end_time)
      where requires_approval and status in ('scheduled', 'confirmed', 'in_progress');
  end if;

  -- list_sessions: one person's sessions, from either side, by start.
  if to_regclass('public.sessions_user_id_start_time_idx') is null then
    create index sessions_user_id_start_time_idx
      on public.sessions (user_id, start_time desc, id);
  end if;

  if to_regclass('public.sessions_therapist_id_start_time_idx') is null then
    create index sessions_therapist_id_start_time_idx
      on public.sessions (therapist_id, start_time desc, id);
  end if;

  -- approve_session: the lots of one client.
  if to_regclass('public.user_credits_user_id_idx') is null then
    create index user_credits_user_id_idx on public.user_credits (user_id);
  end if;

  -- sweep_sessions: lots with credits left that have expired.
  if to_regclass('public.user_credits_expires_at_idx') is null then
    create index user_credits_expires_at_idx
      on public.user_credits (expires_at)
      where credits_balance > 0;
  end if;
end
$$;
