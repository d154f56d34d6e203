-- Which person is busy, and when: the calendar of the sessions that need approval. The exclusion
-- constraint keeps two of them from holding one person at the same time, even if other code has an
-- error.
--
-- This is a table of its own and not a constraint on public.sessions, for three reasons. Sessions that
-- overlap already can stay. Sessions that other code inserts are never refused. A setting decides
-- whether a waiting proposal holds its slot.

-- The exclusion constraint needs btree_gist to compare uuids. Supabase keeps extensions in their own
-- schema.
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
  'The time that a session takes from its two people, once it is approved or waits for approval. A '
  'trigger on public.sessions writes this table; do not write it by hand.';
comment on column session_approval.bookings.session_id is 'The session that holds the time.';
comment on column session_approval.bookings.person_id is 'The session''s therapist, or its client.';
comment on column session_approval.bookings.during is
  'From the session''s start to just before its end: one session may begin when another ends.';
