-- The lots that can pay. A lot can pay while it belongs to a client's account, is active, has not
-- expired and has at least one credit left. The rule stands only here.
--
-- The settings are read in a subquery. An approval locks the rows of this view, and with a join it would
-- lock the row of the settings too.

create or replace view session_approval.spendable_lots as
select l.id, l.user_id, l.credits_balance, l.expires_at, l.created_at
from public.user_credits l
where l.user_type::text = any (
    (select settings.client_types from session_approval.settings settings)::text[]
  )
  and coalesce(l.status, 'active') = 'active'
  and (l.expires_at is null or l.expires_at > now())
  and l.credits_balance >= 1;

revoke all on session_approval.spendable_lots from public, anon, authenticated;

comment on view session_approval.spendable_lots is
  'The lots that can pay for a session at this moment.';
