-- The answer of check_availability.

do $$
begin
  if to_regtype('public.availability_answer') is null then
    create type public.availability_answer as (
      available boolean,
      outside_hours boolean,
      conflicting_sessions jsonb,
      suggested_times jsonb
    );
  end if;
end
$$;

revoke all on type public.availability_answer from public, anon, authenticated, service_role;

comment on type public.availability_answer is
  'Whether a time is free; where it is not, why not, and which times are.';
comment on column public.availability_answer.available is
  'Whether a session could be proposed at this time.';
comment on column public.availability_answer.outside_hours is
  'Whether the time lies outside the therapist''s working hours; null where none are known.';
comment on column public.availability_answer.conflicting_sessions is
  'The sessions in the way: start_time and end_time; for the therapist''s own sessions also id, title '
  'and client_name.';
comment on column public.availability_answer.suggested_times is
  'Up to five free times near the wanted time: time, and label in the therapist''s time zone.';
