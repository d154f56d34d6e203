-- What an act on a session answers with: the session, and beside it what the act came to.
-- Only its row type is used; the functions fill the columns beside the session.

create or replace view session_approval.session_outcomes as
select
  d.*,
  null::integer as credits_balance_after,
  null::boolean as credits_low,
  null::boolean as already_approved,
  null::boolean as refunded,
  null::timestamptz as refund_expires_at,
  null::text as message,
  null::jsonb as room
from session_approval.session_details d;

revoke all on session_approval.session_outcomes from public, anon, authenticated;

comment on view session_approval.session_outcomes is
  'The shape of an act''s answer: a session, credits_balance_after (credits), credits_low (whether that is '
  'settings.low_balance or fewer), already_approved, refunded, refund_expires_at (when the refunded credit '
  'stops paying; null never), message (a sentence for the screen) and room (the video room to make or to '
  'remove; null where there is none).';
