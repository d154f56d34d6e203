-- A session that needs approval is moved by the functions alone: people with a token cannot write past them,
-- whatever row level security lets through. service_role and the owner can; what they do is recorded.
--
-- What is left to those roles: the changes of status that session_approval.transitions leaves to them, and to
-- write what is only told (title, notes). Its therapist may move an approved session, as existing screens do;
-- its client may not, who could move it to where cancelling is free again.
--
-- The trigger's condition sees the role that writes: a person's when the write came straight from one, the
-- functions' owner when it came from a function.
--
-- Refusals: 403 AUTHORIZATION_ERROR.

create or replace function session_approval.guard_session()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    if new.requires_approval
      or new.status = 'pending_approval'
      or new.approved_at is not null
      or new.credit_lot_id is not null
    then
      raise sqlstate 'PT403' using
        message = 'A session that needs approval is proposed with create_custom_session',
        hint = 'AUTHORIZATION_ERROR',
        detail = 'null';
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

  if (
      old.status is distinct from new.status
      and not exists (
        select
        from session_approval.transitions t
        where t.from_status = old.status
          and t.to_status = new.status
          and t.by_writing
      )
    )
    or (
      (old.status = 'pending_approval' or coalesce(auth.uid() = old.user_id, true))
      and (old.start_time, old.end_time, old.duration_minutes)
        is distinct from (new.start_time, new.end_time, new.duration_minutes)
    )
    or (
      old.id, old.user_id, old.therapist_id, old.requires_approval, old.is_instant, old.created_by,
      old.approval_expires_at, old.approved_at, old.credit_lot_id, old.request_key
    ) is distinct from (
      new.id, new.user_id, new.therapist_id, new.requires_approval, new.is_instant, new.created_by,
      new.approval_expires_at, new.approved_at, new.credit_lot_id, new.request_key
    )
  then
    raise sqlstate 'PT403' using
      message = 'A session that needs approval is changed with its own functions only',
      hint = 'AUTHORIZATION_ERROR',
      detail = 'null';
  end if;

  return new;
end
$$;

comment on function session_approval.guard_session() is
  'Refuses (403) a direct write that would approve or revive a session, move it while it waits or as its '
  'client, or change who it belongs to and what paid for it.';

revoke all on function session_approval.guard_session() from public, anon, authenticated;

drop trigger if exists session_approval_guard on public.sessions;
create trigger session_approval_guard
before insert or update on public.sessions
for each row
when (current_user in ('anon', 'authenticated'))
execute function session_approval.guard_session();

comment on trigger session_approval_guard on public.sessions is
  'Sessions that need approval are moved by their functions only.';
