-- What cancelling a session now would mean for its credit. Both the preview and the cancellation read
-- these terms, so they cannot disagree.
--
-- When the therapist cancels, the credit always goes back. When the client cancels, it goes back until
-- free_cancel_window before the start. A session that has begun, is over or was called off refunds
-- nothing, and no session refunds twice.

create or replace function session_approval.cancellation_terms(
  p_session_id uuid,
  p_actor_id uuid,
  out refundable boolean,
  out free_until timestamptz,
  out reason text,
  out is_paid boolean
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    terms.is_open and terms.is_paid and (not terms.by_client or now() <= terms.free_until),
    case when terms.is_open and terms.is_paid and terms.by_client then terms.free_until end,
    case
      when not terms.is_open then 'This session can no longer be cancelled.'
      when not terms.is_paid then 'No credit was taken for this session.'
      when not terms.by_client then 'The client gets the credit back.'
      when now() <= terms.free_until then 'You get your credit back.'
      else 'It is too late for a refund: the credit stays spent.'
    end,
    terms.is_paid
  from (
    select
      s.status = 'pending_approval'
        or (s.status in ('scheduled', 'confirmed') and s.end_time > now()) as is_open,
      s.credit_lot_id is not null
        and session_approval.unreturned_debit(s.id) is not null as is_paid,
      s.user_id = p_actor_id as by_client,
      s.start_time - settings.free_cancel_window as free_until
    from public.sessions s
    cross join session_approval.settings settings
    where s.id = p_session_id
  ) terms
$$;

comment on function session_approval.cancellation_terms(uuid, uuid) is
  'Whether cancelling now would refund the credit, until when it is free for the client, and why.';

revoke all on function session_approval.cancellation_terms(uuid, uuid)
  from public, anon, authenticated;
