-- Credits are money. A request with a person's token cannot write them, even if grants and policies
-- allow it.
--
-- A role of the application that inherits anon or authenticated counts as a person's role too, unless it
-- is a member of service_role or of the table's owner. guard_session.sql repeats this check: every role
-- that writes would need a grant on a function that both share.
--
-- This function is security invoker, so that current_user is the role that writes. Inside our functions
-- that role is their owner.
--
-- Refusals: 403 AUTHORIZATION_ERROR.

create or replace function session_approval.guard_credits()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if current_user not in ('anon', 'authenticated') then
    if pg_has_role(current_user, 'service_role', 'member') or not (
      pg_has_role(current_user, 'authenticated', 'usage') or pg_has_role(current_user, 'anon', 'usage')
    ) then
      return null;
    end if;

    if pg_has_role(
      current_user, (select c.relowner from pg_catalog.pg_class c where c.oid = tg_relid), 'member')
    then
      return null;
    end if;
  end if;

  raise sqlstate 'PT403' using
    message = 'Credits are changed by the server only',
    hint = 'AUTHORIZATION_ERROR',
    detail = 'null';
end
$$;

comment on function session_approval.guard_credits() is
  'Refuses (403) every direct write of credits by anon, authenticated and roles that inherit them.';

revoke all on function session_approval.guard_credits() from public, anon, authenticated;

create or replace trigger session_approval_guard
before insert or update or delete or truncate on public.user_credits
for each statement execute function session_approval.guard_credits();

comment on trigger session_approval_guard on public.user_credits is
  'A request with a person''s token cannot write credits.';
