-- Compares the provider's rooms with the rooms that the sessions need. Returns one act for each room
-- that is not right: make, mend or delete.
-- p_rooms: the rooms at the provider, read before this call; name, opens_at, closes_at,
-- max_participants.
--
-- Caller: the owner; python -m scripts rooms reconcile.
-- make: an approved session, or a proposed instant session, has no room. Another session, which older
-- code made, gets its room when the first person joins.
-- mend: the room's times or its number of places differ from the session's.
-- delete: the room's session does not need a room any more. If this database has never known the room's
-- session, the room stays, whatever its name is: another installation may use the same domain.

create or replace function session_approval.rooms_to_repair(p_rooms jsonb)
returns table (act text, room jsonb)
language sql
stable
security invoker
set search_path = ''
as $$
  with wanted as materialized (
    select a.beside -> 'room' as room, a.approved_at is not null or a.is_instant as is_made_beforehand
    from session_approval.session_answers a
    where a.status in ('pending_approval', 'scheduled', 'confirmed', 'in_progress')
      and a.beside ->> 'room' is not null
  ),
  standing as (
    select
      r.room,
      case
        when r.room ->> 'name' ~ '^s-[0-9a-f]{32}$' then substr(r.room ->> 'name', 3)::uuid
      end as session_id  -- as room_name writes it
    from jsonb_array_elements(p_rooms) r (room)
  )
  select
    case when standing.room is null then 'make' else 'mend' end,
    wanted.room
  from wanted
  left join standing on standing.room -> 'name' = wanted.room -> 'name'
  where case
    when standing.room is null then wanted.is_made_beforehand
    else (wanted.room -> 'closes_at', wanted.room -> 'max_participants')
        is distinct from (standing.room -> 'closes_at', standing.room -> 'max_participants')
      or case
        when wanted.room ->> 'opens_at' is null
          then to_timestamp((standing.room ->> 'opens_at')::bigint) > now()
        else wanted.room -> 'opens_at' is distinct from standing.room -> 'opens_at'
      end
  end

  union all

  select 'delete', jsonb_build_object('name', standing.room -> 'name')
  from standing
  where not exists (
      select from wanted where wanted.room -> 'name' = standing.room -> 'name'
    )
    and exists (
      select from session_approval.session_events e where e.session_id = standing.session_id
      union all
      select from public.sessions s where s.id = standing.session_id
    )
$$;

comment on function session_approval.rooms_to_repair(jsonb) is
  'Compares the video provider''s rooms with the sessions; returns an act (make, mend, delete) and '
  'its room.';

revoke all on function session_approval.rooms_to_repair(jsonb) from public, anon, authenticated;
