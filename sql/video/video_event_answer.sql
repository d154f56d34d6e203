-- The answer of record_video_event.

do $$
begin
  if to_regtype('public.video_event_answer') is null then
    create type public.video_event_answer as (
      recorded boolean
    );
  end if;
end
$$;

revoke all on type public.video_event_answer from public, anon, authenticated, service_role;

comment on type public.video_event_answer is 'Whether an event of the video provider was stored.';
comment on column public.video_event_answer.recorded is
  'Whether the event was stored. It was not if it was stored before, or if it is of no use here.';
