-- Everything that is wrong with a proposal's fields, all at once: {field: what it must be}. The result
-- is empty when every field is right. Dates and times are checked only in scheduled proposals, which use
-- them.

create or replace function session_approval.check_proposal(
  p_therapist_id uuid,
  p_patient_id uuid,
  p_start_time timestamptz,
  p_session_date date,
  p_session_time time,
  p_time_zone text,
  p_duration_minutes integer,
  p_session_type text,
  p_title text,
  p_notes text,
  p_is_instant boolean,
  p_request_key text
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(problem.field, problem.must) filter (where problem.found), '{}')
  from (
    values
      (
        'patient_id',
        'must be a client to whom you can propose sessions',
        p_patient_id is null
          or p_patient_id = p_therapist_id
          or not exists (select from session_approval.clients c where c.id = p_patient_id)
      ),
      (
        'duration_minutes',
        'must be a whole number of minutes from 5 to 480',
        (p_duration_minutes between 5 and 480) is not true
      ),
      (
        'time_zone',
        'must be an IANA time zone, such as Europe/London',
        not session_approval.is_time_zone(p_time_zone)
      ),
      (
        'session_type',
        'must be 1 to 50 characters',
        (length(p_session_type) between 1 and 50) is not true
      ),
      ('title', 'must be at most 200 characters', length(p_title) > 200),
      ('notes', 'must be at most 4000 characters', length(p_notes) > 4000),
      (
        'idempotency_key',
        'must be 1 to 200 characters',
        length(p_request_key) not between 1 and 200
      ),
      (
        'start_time',
        'must be given, or session_date and session_time instead',
        not p_is_instant
          and p_start_time is null
          and p_session_date is null
          and p_session_time is null
      ),
      (
        'start_time',
        'must stand alone, or leave the choice to session_date and session_time',
        not p_is_instant
          and p_start_time is not null
          and (p_session_date is not null or p_session_time is not null)
      ),
      (
        'session_date',
        'must be given together with session_time',
        not p_is_instant and p_session_date is null and p_session_time is not null
      ),
      (
        'session_time',
        'must be given together with session_date',
        not p_is_instant and p_session_time is null and p_session_date is not null
      ),
      (
        'session_date',
        'must be a day of this century or the next',
        not p_is_instant and p_session_date not between '2000-01-01' and '2199-12-31'
      ),
      (
        'start_time',
        'must be a day of this century or the next',
        not p_is_instant and p_start_time not between '2000-01-01' and '2200-01-01'
      )
  ) as problem (field, must, found)
$$;

comment on function session_approval.check_proposal(
  uuid, uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) is 'What is wrong with a proposal''s fields: {field: what it must be}.';

revoke all on function session_approval.check_proposal(
  uuid, uuid, timestamptz, date, time, text, integer, text, text, text, boolean, text
) from public, anon, authenticated;
