-- What a credit lot needs to be spent in the right order: whether it is active and until when.

do $$
begin
  -- Noted as missing before, and still so.
  if exists (
    select
    from session_approval.install_changes n
    where n.kind = 'column'
      and n.name like 'user_credits.%'
      and not exists (
        select
        from pg_catalog.pg_attribute a
        where a.attrelid = 'public.user_credits'::regclass
          and a.attname = split_part(n.name, '.', 2)
      )
  ) then
    perform session_approval.lock_tables('access exclusive', 'public.user_credits');

    alter table public.user_credits
      add column if not exists status text not null default 'active',
      add column if not exists expires_at timestamptz,
      add column if not exists credits_expired integer not null default 0;
  end if;
end
$$;

comment on column public.user_credits.expires_at is
  'When the credits left in this lot stop paying; null never.';
comment on column public.user_credits.credits_expired is
  'Credits of this lot that were written off when it expired.';
