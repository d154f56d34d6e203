-- The policy that lets clients see their own credits. It is created only if row level security is on.
-- The install does not switch row level security on, because that would hide rows from readers that work
-- today. To switch it on, enable it and run the install again:
--   alter table public.user_credits enable row level security;

do $$
begin
  if not (select c.relrowsecurity from pg_catalog.pg_class c where c.oid = 'public.user_credits'::regclass)
    -- The policy exists already. Creating it again would lock out readers and writers.
    or exists (
      select
      from pg_catalog.pg_policies p
      where (p.schemaname, p.tablename) = ('public', 'user_credits')
        and p.policyname = 'Clients see their own credits'
        and (p.permissive, p.roles, p.cmd) = ('PERMISSIVE', '{authenticated}', 'SELECT')
        and p.qual = '(( SELECT auth.uid() AS uid) = user_id)'
    )
  then
    return;
  end if;

  perform session_approval.lock_tables('access exclusive', 'public.user_credits');

  drop policy if exists "Clients see their own credits" on public.user_credits;
  create policy "Clients see their own credits"
    on public.user_credits
    for select
    to authenticated
    using ((select auth.uid()) = user_id);
end
$$;
