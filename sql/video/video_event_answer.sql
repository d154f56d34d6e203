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

comment on type public.video_event_answer is 'What became of an event of the video provider.';
comment on column public.video_event_answer.recorded is
  'Whether it was kept: neither a repetition nor of no interest here.';
