-- Some of our names are there already, with types, comments and indexes of the project's own. Over older.sql.

alter table public.sessions
  add column title varchar(80), add column notes text, add column time_zone varchar(40);
alter table public.user_credits
  add column expires_at timestamptz, add column status varchar(20),
  add column credits_expired integer default 0;
comment on column public.sessions.time_zone is 'Where the therapist lives.';
comment on column public.sessions.title is 'Shown in the list.';
comment on column public.user_credits.credits_expired is 'Of last year.';
create index user_credits_user_id_idx on public.user_credits (user_id, created_at);
alter table public.sessions enable row level security;
alter table public.user_credits enable row level security;
create policy "Everybody" on public.sessions using (true);
create policy "Own credits" on public.user_credits for select using (auth.uid() = user_id);
create extension btree_gist schema public;
create table public.holidays (
  during tstzrange, who uuid, exclude using gist (who with =, during with &&)
);
update public.sessions set title = 'Talk', notes = 'n', time_zone = 'Asia/Tokyo';
