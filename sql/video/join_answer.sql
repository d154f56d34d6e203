-- The answer of join_session.

do $$
begin
  if to_regtype('public.join_answer') is null then
    create type public.join_answer as (
      room jsonb,
      attendance jsonb,
      expires_at timestamptz
    );
  end if;
end
$$;

revoke all on type public.join_answer from public, anon, authenticated, service_role;

comment on type public.join_answer is 'The room that a session needs, and who the caller is in it.';
comment on column public.join_answer.room is
  'The room that any video provider has to make: name, opens_at and closes_at in unix seconds, '
  'max_participants.';
comment on column public.join_answer.attendance is
  'Who joins: room_name, user_id, user_name, is_owner, opens_at, expires_at.';
comment on column public.join_answer.expires_at is 'The end of the session.';
