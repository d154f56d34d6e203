-- Who sees which sessions, where row level security is on. Where it is off it stays off: switching it on
-- would hide rows from readers that work today. To switch it on, enable it and run the install again:
--   alter table public.sessions enable row level security;

do $$
begin
  if not (select c.relrowsecurity from pg_catalog.pg_class c where c.oid = 'public.sessions'::regclass)
  then
    return;
  end if;

  drop policy if exists "People see their own sessions" on public.sessions;
  create policy "People see their own sessions"
    on public.sessions
    for select
    to authenticated
    using ((select auth.uid()) in (user_id, therapist_id));
end
$$;
