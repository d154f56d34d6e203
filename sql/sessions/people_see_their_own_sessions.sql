-- Who sees which sessions, where row level security is on. Where it is off, the install leaves it off:
-- switching it on would hide rows from readers that work today. To switch it on, enable it and run the
-- install again:
--   alter table public.sessions enable row level security;

do $$
begin
  if not (select c.relrowsecurity from pg_catalog.pg_class c where c.oid = 'public.sessions'::regclass)
    -- The policy exists already. Making it again would lock readers and writers out.
    or exists (
      select
      from pg_catalog.pg_policies p
      where (p.schemaname, p.tablename) = ('public', 'sessions')
        and p.policyname = 'People see their own sessions'
        and (p.permissive, p.roles, p.cmd) = ('PERMISSIVE', '{authenticated}', 'SELECT')
        and p.qual = '((( SELECT auth.uid() AS uid) = user_id)'
          ' OR (( SELECT auth.uid() AS uid) = therapist_id))'
    )
  then
    return;
  end if;

  perform session_approval.lock_tables('access exclusive', 'public.sessions');

  drop policy if exists "People see their own sessions" on public.sessions;
  create policy "People see their own sessions"
    on public.sessions
    for select
    to authenticated
    using ((select auth.uid()) in (user_id, therapist_id));
end
$$;
