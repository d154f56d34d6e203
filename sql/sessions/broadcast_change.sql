-- The two people of a session learn of its changes at once, where Supabase Realtime is installed. Each
-- person has a private topic, 'session_approval:<their id>', and gets the event 'session_changed' on it.
-- The event holds only the session's id; a screen asks the API for the session itself.
--
-- Where there is no Realtime there is no trigger, and screens ask again every few seconds.

create or replace function session_approval.broadcast_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_person_id uuid;
begin
  foreach v_person_id in array array[new.user_id, new.therapist_id] loop
    perform realtime.send(
      jsonb_build_object('session_id', new.id), 'session_changed',
      'session_approval:' || v_person_id::text, true);
  end loop;

  return null;
end
$$;

comment on function session_approval.broadcast_change() is
  'Tells a session''s two people, by Supabase Realtime, that it has changed.';

revoke all on function session_approval.broadcast_change() from public, anon, authenticated;

do $$
begin
  if to_regprocedure('realtime.send(jsonb, text, text, boolean)') is null then
    return;
  end if;

  create or replace trigger session_approval_live
  after insert or update on public.sessions
  for each row execute function session_approval.broadcast_change();

  comment on trigger session_approval_live on public.sessions is
    'A session''s people learn of its changes by Supabase Realtime.';

  if exists (
    select
    from pg_catalog.pg_policies p
    where (p.schemaname, p.tablename, p.policyname)
        = ('realtime', 'messages', 'People hear of their own sessions')
      and (p.permissive, p.roles, p.cmd) = ('PERMISSIVE', '{authenticated}', 'SELECT')
      and p.qual = '(realtime.topic() = (''session_approval:''::text || (( SELECT auth.uid() AS uid))::text))'
  ) then
    return;
  end if;

  drop policy if exists "People hear of their own sessions" on realtime.messages;
  create policy "People hear of their own sessions"
    on realtime.messages
    for select
    to authenticated
    using (realtime.topic() = 'session_approval:' || (select auth.uid())::text);
exception
  when insufficient_privilege then
    raise warning 'Realtime is installed, but its topics may not be opened: %', sqlerrm;
end
$$;
