-- Only the functions move a session that needs approval. People with a token cannot write around the
-- functions, even where row level security would allow the write. service_role and the table's owner
-- can, and their changes are recorded.
--
-- People with a token may still write some things directly. They may make the changes of status that
-- session_approval.transitions allows to signed-in people, and change columns that only inform (title,
-- notes). The session's therapist may also move an approved session, as existing screens do. Other
-- people may not. The client could move a session to a time at which cancelling is free again; so could
-- the client's second account, where there is no row level security.
--
-- An application's own role that inherits anon or authenticated counts as a person too, unless it can
-- become service_role or the table's owner. guard_credits.sql has the same check in the same words. A
-- function shared by the two would need a grant to every role that writes.
--
-- The function is security invoker, so that current_user is the role that writes. When one of our
-- functions writes, that role is the functions' owner.
--
-- Refusals: 403 AUTHORIZATION_ERROR.

create or replace function session_approval.guard_session()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_may_move boolean := false;
begin
  if current_user not in ('anon', 'authenticated') then
    if pg_has_role(current_user, 'service_role', 'member') or not (
      pg_has_role(current_user, 'authenticated', 'usage') or pg_has_role(current_user, 'anon', 'usage')
    ) then
      return new;
    end if;

    if pg_has_role(current_user, (select c.relowner from pg_class c where c.oid = tg_relid), 'member') then
      return new;
    end if;
  end if;

  if tg_op = 'INSERT' then
    if new.requires_approval
      or new.status = 'pending_approval'
      or new.approved_at is not null
      or new.credit_lot_id is not null
    then
      raise sqlstate 'PT403' using
        message = 'A session that needs approval is proposed with create_custom_session',
        hint = 'AUTHORIZATION_ERROR', detail = 'null';
    end if;

    return new;
  end if;

  if not (
    old.requires_approval is true
    or new.requires_approval is true
    or (old.status = 'pending_approval') is true
    or (new.status = 'pending_approval') is true
    or (old.approved_at, old.credit_lot_id) is distinct from (new.approved_at, new.credit_lot_id)
  ) then
    return new;
  end if;

  if old.status is distinct from new.status and pg_has_role(current_user, 'authenticated', 'usage') then
    v_may_move := exists (
      select from session_approval.transitions t
      where (t.from_status, t.to_status) = (old.status, new.status)
        and t.direct_write_allowed
    );
  end if;

  if (old.status is distinct from new.status and not v_may_move)
    or (
      (old.status = 'pending_approval' or (auth.uid() = old.therapist_id) is not true)
      and (old.start_time, old.end_time, old.duration_minutes)
        is distinct from (new.start_time, new.end_time, new.duration_minutes)
    )
    or (
      old.id, old.user_id, old.therapist_id, old.requires_approval, old.is_instant, old.created_by,
      old.approval_expires_at, old.approved_at, old.credit_lot_id, old.request_key, old.series_id,
      old.free_cancel_until, old.no_show_by
    ) is distinct from (
      new.id, new.user_id, new.therapist_id, new.requires_approval, new.is_instant, new.created_by,
      new.approval_expires_at, new.approved_at, new.credit_lot_id, new.request_key, new.series_id,
      new.free_cancel_until, new.no_show_by
    )
  then
    raise sqlstate 'PT403' using
      message = 'A session that needs approval is changed with its own functions only',
      hint = 'AUTHORIZATION_ERROR', detail = 'null';
  end if;

  return new;
end
$$;

comment on function session_approval.guard_session() is
  'Refuses (403) a direct write that would approve or revive a session, move a waiting session, or '
  'an approved one if the writer is not its therapist, or change its people or the lot that paid.';

revoke all on function session_approval.guard_session() from public, anon, authenticated;

create or replace trigger session_approval_guard
before insert or update on public.sessions
for each row execute function session_approval.guard_session();

comment on trigger session_approval_guard on public.sessions is
  'Sessions that need approval are moved by their functions only.';
