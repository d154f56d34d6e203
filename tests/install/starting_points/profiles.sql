-- People under another name, with an enum, behind a view of people of the project's own. Over older.sql.

create type public.kind as enum ('therapist', 'individual', 'admin');
alter table public.users rename to profiles;
alter table public.profiles rename column full_name to display_name;
alter table public.profiles alter column user_type type public.kind
  using (case user_type when 'user' then 'individual' else user_type end)::public.kind;
alter table public.profiles add column banned boolean;
create schema session_approval;
create view session_approval.people as
select
  p.id, p.display_name as full_name, p.email, p.user_type, p.banned is not true as is_active,
  null::text as time_zone
from public.profiles p;
