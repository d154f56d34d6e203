-- What a credit lot needs to be spent in the right order: whether it is active and until when.

alter table public.user_credits
  add column if not exists status text not null default 'active',
  add column if not exists expires_at timestamptz,
  add column if not exists credits_expired integer not null default 0;

comment on column public.user_credits.expires_at is
  'When the credits left in this lot stop paying; null never.';
comment on column public.user_credits.credits_expired is
  'Credits of this lot that were written off when it expired.';

-- approve_session: the lots of one client.
create index if not exists user_credits_user_id_idx on public.user_credits (user_id);
-- sweep_sessions: lots with credits left that have expired.
create index if not exists user_credits_expires_at_idx
  on public.user_credits (expires_at)
  where credits_balance > 0;
