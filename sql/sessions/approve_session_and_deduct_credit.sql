-- The client approves a session. Exactly one credit leaves exactly one lot. The session becomes
-- scheduled, or confirmed when it is instant. One transaction does all of this, or nothing.
--
-- Caller: the session's client, as the token's subject; service_role and operators for the client they
-- name.
-- Changes: one session, one lot, one ledger row, one event.
-- Locks: the session, then the client's lots that can pay, in id order. Approvals of one client
-- therefore wait for each other, and none is refused while another lot can pay. A proposal that already
-- holds its time locks no calendar; an instant one locks both calendars before the lots.
-- Approving again gives the same answer with already_approved, and takes no credit.
--
-- Postgres plans the statements once for each connection (plan_cache_mode). By default it would plan
-- them again for each of the first five calls. That would be most of the cost of the first approvals on
-- a new connection.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND (absent or not yours),
-- 409 SESSION_NOT_PENDING (details: status, cancellation_reason), 410 SESSION_EXPIRED,
-- 402 INSUFFICIENT_CREDITS (details: required, available, short_by),
-- 409 TIME_SLOT_CONFLICT (one of the two is taken by now; details: refuse_if_taken).

create or replace function session_approval.approve_session_and_deduct_credit(
  p_session_id uuid, p_user_id uuid
)
returns setof public.session_answer
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(p_user_id);
  v_room_name constant text := session_approval.room_name(p_session_id);
  v_session record;
  -- In the column's own type, as of our time zone: the statement runs under the application's.
  v_approved_at constant public.sessions.approved_at%type := now();
  v_already_approved boolean;
  v_debit record;
  v_balance integer;
  v_answer public.session_answer;
begin
  select
    s.status, s.is_instant, s.approved_at, s.approval_expires_at, s.cancellation_reason,
    s.therapist_id, s.time_zone, coalesce(restart.at, s.start_time) as start_time,
    coalesce(restart.at, s.start_time) + coalesce(
      case when restart.at is null then s.end_time - s.start_time end,
      make_interval(mins => s.duration_minutes::integer), s.end_time - s.start_time) as end_time,
    restart.at at time zone coalesce(s.time_zone, settings.default_time_zone) as restarts_at_local,
    (select count(*) = 2 from session_approval.bookings b where b.session_id = s.id) as holds_its_time,
    settings.low_balance, settings.video_base_url || '/' || v_room_name as room_url
  into v_session
  from public.sessions s
  cross join session_approval.settings settings
  cross join lateral (select case when s.is_instant then now() end as at) restart
  where (s.id, s.user_id) = (p_session_id, v_caller.id)
  for no key update of s;

  if not found then
    perform session_approval.refuse(404, 'SESSION_NOT_FOUND', 'Session not found or not pending approval');
  end if;

  v_already_approved := v_session.approved_at is not null
    and v_session.status not in ('pending_approval', 'cancelled');

  if not v_already_approved then
    perform session_approval.refuse_unless_pending(
      v_session.status, v_session.approval_expires_at, v_session.cancellation_reason);

    if not v_session.holds_its_time and v_session.start_time < v_session.end_time then
      perform session_approval.book_slot(
        p_session_id, array[v_session.therapist_id, v_caller.id], v_session.start_time,
        v_session.end_time, v_session.time_zone);
    end if;

    v_debit := session_approval.debit_one_credit(v_caller.id, p_session_id);
    v_balance := v_debit.credits_balance_after;

    perform session_approval.note_status_change(v_caller.id, null);

    update public.sessions s
    set
      status = case when s.is_instant then 'confirmed' else 'scheduled' end,
      approved_at = v_approved_at,
      credit_lot_id = v_debit.lot_id,
      session_url = coalesce(v_session.room_url, s.session_url),
      daily_room_url = coalesce(v_session.room_url, s.daily_room_url),
      room_name = v_room_name,
      daily_room_name = v_room_name,
      start_time = v_session.start_time,
      end_time = case when s.is_instant then v_session.end_time else s.end_time end,
      scheduled_date = coalesce(v_session.restarts_at_local::date, s.scheduled_date::date),
      scheduled_time = coalesce(
        date_trunc('second', v_session.restarts_at_local)::time, s.scheduled_time::time)
    where s.id = p_session_id;
  else
    v_balance := session_approval.spendable_balance(v_caller.id);
  end if;

  select a.* into v_answer from session_approval.session_answers a where a.id = p_session_id;

  v_answer.beside := jsonb_build_object(
    'room', v_answer.beside -> 'room',
    'credits_balance_after', v_balance,
    'credits_low', v_balance <= v_session.low_balance,
    'already_approved', v_already_approved,
    'message', case when v_answer.is_instant then 'Session approved! You can join immediately.'
      else 'Session approved successfully.' end);

  return next v_answer;
end
$$;

create or replace function public.approve_session_and_deduct_credit(
  p_session_id uuid,
  p_user_id uuid default auth.uid()
)
returns setof public.session_answer
language sql
volatile
security invoker
set search_path = ''
as $$
  select * from session_approval.approve_session_and_deduct_credit(p_session_id, p_user_id)
$$;

comment on function public.approve_session_and_deduct_credit(uuid, uuid) is
  'Approve a session as its client and pay for it with one credit; safe to repeat. Returns the '
  'session, and in beside credits_balance_after, credits_low, already_approved, message and room. '
  'Refuses with 401, 402, 403, 404, 409, 410.';
comment on function session_approval.approve_session_and_deduct_credit(uuid, uuid) is
  'The implementation of public.approve_session_and_deduct_credit.';

revoke all on function public.approve_session_and_deduct_credit(uuid, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.approve_session_and_deduct_credit(uuid, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.approve_session_and_deduct_credit(uuid, uuid)
  to authenticated, service_role;
grant execute on function session_approval.approve_session_and_deduct_credit(uuid, uuid)
  to authenticated, service_role;
