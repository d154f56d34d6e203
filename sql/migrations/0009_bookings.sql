-- Who is taken, and when: the calendar of the sessions that came through approval. Two of them can never hold
-- one person at one time, whoever writes them and whatever else goes wrong.
--
-- A table of its own rather than a constraint on public.sessions, so that sessions which overlap already go
-- on living, those that other code inserts are never refused, and a slot can be held or given back by policy.

-- Compares uuids inside an exclusion constraint. Supabase keeps extensions in a schema of their own.
do $$
begin
  if not exists (select from pg_catalog.pg_extension e where e.extname = 'btree_gist') then
    execute format(
      'create extension btree_gist schema %I',
      case when to_regnamespace('extensions') is null then 'session_approval' else 'extensions' end);
  end if;
end
$$;

create table if not exists session_approval.bookings (
  session_id uuid,
  person_id uuid,
  during tstzrange not null,
  constraint bookings_pkey primary key (session_id, person_id),
  constraint nobody_is_booked_twice exclude using gist (person_id with =, during with &&)
);

revoke all on session_approval.bookings from public, anon, authenticated, service_role;
grant select on session_approval.bookings to service_role;

comment on table session_approval.bookings is
  'The time that each session which came through approval, or waits for it, holds of its two people. Kept by '
  'a trigger on public.sessions; not to be written by hand.';
comment on column session_approval.bookings.session_id is 'The session that holds the time.';
comment on column session_approval.bookings.person_id is 'Its therapist, or its client.';
comment on column session_approval.bookings.during is
  'From its start until just before its end, so that one session may begin when another ends.';
