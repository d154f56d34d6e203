-- The people to whom a therapist may propose a session: every active person with a client's account. The
-- rule stands only here.

create or replace view session_approval.clients as
select p.id, p.full_name::text as full_name, p.email::text as email, p.time_zone::text as time_zone
from session_approval.people p
cross join session_approval.settings settings
where p.is_active
  and p.user_type::text = any (settings.client_types);

revoke all on session_approval.clients from public, anon, authenticated;

comment on view session_approval.clients is 'The people to whom a therapist may propose sessions.';
