-- Hold the time of a session's two people for the session, or refuse. The session first gives back the
-- time that it held before. When it already holds exactly this time, the function locks nothing and
-- changes nothing.
--
-- Locks: first the sessions whose bookings are out of date: proposals that have expired, and sessions
-- that the same statement has moved elsewhere. They give their time back. Then the two people's
-- calendars: any other transaction that decides about the time of one of these people waits. Sessions
-- come before calendars, because a transaction that moves a session has locked the session before it
-- comes here. Only a transaction that has locked a session changes what the session holds.
--
-- Refusals: 409 TIME_SLOT_CONFLICT (refuse_if_taken).

create or replace function session_approval.book_slot(
  p_session_id uuid,
  p_people uuid[],
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_time_zone text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_during constant tstzrange := tstzrange(p_start_time, p_end_time);
  v_people constant uuid[] := (
    select array_agg(distinct p.id order by p.id) from unnest(p_people) p (id) where p.id is not null
  );
  v_stale_id uuid;
begin
  if v_people = (
    select array_agg(b.person_id order by b.person_id)
    from session_approval.bookings b
    where b.session_id = p_session_id
      and b.during = v_during
  ) then
    return;
  end if;

  for v_stale_id in
    select distinct b.session_id
    from session_approval.bookings b
    where b.person_id = any (v_people)
      and b.during && v_during
      and b.session_id <> p_session_id
      and not session_approval.holds_between(b.session_id, p_start_time, p_end_time)
    order by b.session_id
  loop
    perform from public.sessions s where s.id = v_stale_id for no key update;
    perform session_approval.expire_proposal(v_stale_id);

    delete from session_approval.bookings b
    where b.session_id = v_stale_id
      and not session_approval.holds_between(v_stale_id, p_start_time, p_end_time);
  end loop;

  perform session_approval.lock_calendars(v_people);

  perform session_approval.refuse_if_taken(
    v_people, p_start_time, p_end_time, p_session_id, p_time_zone);

  delete from session_approval.bookings b where b.session_id = p_session_id;

  insert into session_approval.bookings (session_id, person_id, during)
  select p_session_id, p.id, v_during
  from unnest(v_people) p (id);
end
$$;

comment on function session_approval.book_slot(uuid, uuid[], timestamptz, timestamptz, text) is
  'Hold these people''s time for a session; 409 when one of them is taken.';

revoke all on function session_approval.book_slot(uuid, uuid[], timestamptz, timestamptz, text)
  from public, anon, authenticated;
