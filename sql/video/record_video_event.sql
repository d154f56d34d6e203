-- Stores an event of the video provider about a session's room ({id, type, payload, event_ts}), and
-- updates the session's status to match. Each event is stored once, by its own id. No credit moves.
--
-- Caller: service_role, or the owner; the API's webhook, which has checked the signature.
-- Changes: one row of video_events, and the session if the event changes its status. Locks: the session.
-- It answers recorded = false, and does nothing, if the event was stored before, is of another kind, or
-- is about a room that belongs to no session here.
--
-- Events arrive late and in any order. So the time in the event counts, and the events that arrived
-- before it are read too.
-- When the client or the therapist enters the room while the session can be joined, the session becomes
-- in_progress. When the meeting has ended and the session's end is reached, the session becomes
-- completed. It does not become completed before its end: a person who loses the call for a minute must
-- be able to come back. The session's end counts without its fraction of a second, because the room
-- closes at that whole second.
--
-- Refusals: 400 VALIDATION_ERROR (no id, or no time).

create or replace function session_approval.record_video_event(p_event jsonb)
returns setof public.video_event_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_type constant text := p_event ->> 'type';
  v_payload constant jsonb := p_event -> 'payload';
  v_session_id constant uuid := case  -- as room_name writes it
    when v_payload ->> 'room' ~ '^s-[0-9a-f]{32}$' then substr(v_payload ->> 'room', 3)::uuid
  end;
  v_user_id constant uuid := case
    when v_payload ->> 'user_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      then (v_payload ->> 'user_id')::uuid
  end;
  v_at constant timestamptz := to_timestamp(coalesce(
    case v_type
      when 'meeting.started' then v_payload ->> 'start_ts'
      when 'meeting.ended' then v_payload ->> 'end_ts'
      when 'participant.joined' then v_payload ->> 'joined_at'
    end,
    p_event ->> 'event_ts')::float8);
  v_session record;
  v_answer public.video_event_answer;
begin
  select
    s.status, s.end_time, s.start_time - settings.join_early as opens_at,
    v_user_id in (s.user_id, s.therapist_id) as is_theirs
  into v_session
  from public.sessions s
  cross join session_approval.settings settings
  where s.id = v_session_id
  for no key update of s;

  v_answer.recorded := (
    found
    and v_type in ('meeting.started', 'participant.joined', 'participant.left', 'meeting.ended')
  ) is true;

  if v_answer.recorded then
    if p_event ->> 'id' is null or v_at is null then
      perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The event has no id, or no time');
    end if;

    insert into session_approval.video_events (id, session_id, type, user_id, occurred_at)
    values (p_event ->> 'id', v_session_id, v_type, v_user_id, v_at)
    on conflict (id) do nothing;

    v_answer.recorded := found;
  end if;

  if v_answer.recorded
    and v_type = 'participant.joined'
    and v_session.is_theirs
    and v_session.status in ('scheduled', 'confirmed')
    and v_at >= v_session.opens_at
    and v_at < v_session.end_time
  then
    perform session_approval.note_status_change(v_user_id, 'Came into the video room');

    update public.sessions s set status = 'in_progress' where s.id = v_session_id;

    v_session.status := 'in_progress';
  end if;

  if v_answer.recorded
    and v_session.status = 'in_progress'
    and exists (
      select
      from session_approval.video_events e
      where e.session_id = v_session_id
        and e.type = 'meeting.ended'
        and greatest(e.occurred_at, now()) >= date_trunc('second', v_session.end_time)
    )
  then
    perform session_approval.note_status_change(null, 'The video meeting ended');

    update public.sessions s set status = 'completed' where s.id = v_session_id;
  end if;

  return next v_answer;
end
$$;

create or replace function public.record_video_event(p_event jsonb)
returns setof public.video_event_answer
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.record_video_event(p_event) $$;

comment on function public.record_video_event(jsonb) is
  'Store an event of the video provider about a session''s room, once, and update the session''s status '
  'to match. Returns whether the event was stored. For service_role. Refuses with 400.';
comment on function session_approval.record_video_event(jsonb) is
  'The implementation of public.record_video_event.';

revoke all on function public.record_video_event(jsonb)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.record_video_event(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.record_video_event(jsonb) to service_role;
grant execute on function session_approval.record_video_event(jsonb) to service_role;
