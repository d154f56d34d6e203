-- Prepaid credits, in lots: each purchase is a row. One credit pays for one session.

create table if not exists public.user_credits (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null,
  user_type text not null default 'individual',
  credits_balance integer not null default 0,
  created_at timestamptz not null default now(),
  constraint user_credits_pkey primary key (id),
  constraint user_credits_user_id_fkey foreign key (user_id) references public.users (id),
  constraint credits_balance_is_not_negative check (credits_balance >= 0)
);

alter table public.user_credits enable row level security;

revoke all on public.user_credits from public, anon, authenticated, service_role;
grant select on public.user_credits to authenticated;
grant all on public.user_credits to service_role;

comment on table public.user_credits is 'Prepaid credits, in lots: each purchase is a row.';
comment on column public.user_credits.credits_balance is 'Credits left in this lot.';
