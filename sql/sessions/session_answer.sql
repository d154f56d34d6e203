-- The answer of every act on a session, of every list of sessions and of get_session. First come the
-- session's columns, flat; the last column is beside, which holds what is not part of the session.
--
-- The type stands in schema public, so that "supabase gen types" writes its columns. The view
-- session_details decides what the columns hold; a test compares the two lists.
-- If another object in the database depends on the type, the install does not change the type. If the
-- type then lacks a column, the install stops at that column's comment below.

do $$
begin
  if to_regtype('public.session_answer') is null then
    create type public.session_answer as (
      id uuid,
      user_id uuid,
      therapist_id uuid,
      title text,
      description text,
      notes text,
      scheduled_date date,
      scheduled_time time,
      start_time timestamptz,
      end_time timestamptz,
      duration_minutes integer,
      session_type text,
      status text,
      created_at timestamptz,
      is_instant boolean,
      requires_approval boolean,
      created_by uuid,
      approval_expires_at timestamptz,
      approved_at timestamptz,
      time_zone text,
      session_url text,
      room_name text,
      daily_room_url text,
      daily_room_name text,
      join_opens_at timestamptz,
      cancellation_reason text,
      cancelled_by text,
      cancelled_at timestamptz,
      therapist jsonb,
      client jsonb,
      series_id uuid,
      free_cancel_until timestamptz,
      no_show_by text,
      beside jsonb
    );
  end if;
end
$$;

revoke all on type public.session_answer from public, anon, authenticated, service_role;

comment on type public.session_answer is
  'A session as its two people see it, and in beside the result of the call.';
comment on column public.session_answer.id is 'The session.';
comment on column public.session_answer.user_id is 'The client.';
comment on column public.session_answer.therapist_id is 'The therapist.';
comment on column public.session_answer.title is 'What the therapist calls the session.';
comment on column public.session_answer.description is 'What the application stores in this column.';
comment on column public.session_answer.notes is 'What the therapist wrote for both people.';
comment on column public.session_answer.scheduled_date is
  'The day of the start, in the session''s time zone.';
comment on column public.session_answer.scheduled_time is
  'The time of day of the start, in the session''s time zone.';
comment on column public.session_answer.start_time is 'When it starts.';
comment on column public.session_answer.end_time is 'When it ends.';
comment on column public.session_answer.duration_minutes is 'How long it takes, in minutes.';
comment on column public.session_answer.session_type is 'Its kind, such as video.';
comment on column public.session_answer.status is
  'pending_approval, scheduled, confirmed, in_progress, completed, no_show or cancelled.';
comment on column public.session_answer.created_at is 'When it was proposed.';
comment on column public.session_answer.is_instant is 'Starts when the client approves it.';
comment on column public.session_answer.requires_approval is
  'Proposed by a therapist: only the client''s approval, paid with one credit, makes it happen.';
comment on column public.session_answer.created_by is 'Who proposed it.';
comment on column public.session_answer.approval_expires_at is
  'Until when the client can answer; null has no limit.';
comment on column public.session_answer.approved_at is 'When the client approved it.';
comment on column public.session_answer.time_zone is
  'IANA time zone in which scheduled_date and scheduled_time are written.';
comment on column public.session_answer.session_url is 'The address of the video room, from approval on.';
comment on column public.session_answer.room_name is 'The name of the video room, from approval on.';
comment on column public.session_answer.daily_room_url is 'session_url, as older screens call it.';
comment on column public.session_answer.daily_room_name is 'room_name, as older screens call it.';
comment on column public.session_answer.join_opens_at is
  'The earliest moment at which its people can join.';
comment on column public.session_answer.cancellation_reason is
  'Why it was cancelled: declined, withdrawn, expired, cancelled_by_client or cancelled_by_therapist; '
  'or what the application wrote there.';
comment on column public.session_answer.cancelled_by is 'Who cancelled it.';
comment on column public.session_answer.cancelled_at is 'When it was cancelled.';
comment on column public.session_answer.therapist is 'The therapist''s id, full_name and email.';
comment on column public.session_answer.client is 'The client''s id, full_name and email.';
comment on column public.session_answer.series_id is 'The series that it belongs to, if any.';
comment on column public.session_answer.free_cancel_until is
  'Until when the client can cancel it and gets the credit back.';
comment on column public.session_answer.no_show_by is
  'Of a no_show, who did not come: client, therapist or both.';
comment on column public.session_answer.beside is
  'Not part of the session. From an act: message, room and what it did (refunded, '
  'credits_balance_after, ...). From a list: has_more. From get_session: events.';
