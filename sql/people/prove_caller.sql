-- Returns the person who is acting. The token proves who that is; a parameter alone does not.
--
-- A person can act only as the token's subject, under every role. Only the server can act for another
-- person, whom it names. The server is service_role, or an operator: a member of the role that owns
-- these functions. The person must exist and be active.
-- p_may_be_inactive: the server may act for a person whose account is no longer active, for example to
-- cancel that person's sessions. The inactive person's own token is still refused.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.

create or replace function session_approval.prove_caller(
  p_user_id uuid,
  p_may_be_inactive boolean default false
)
returns session_approval.people
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_role constant text := session_approval.acting_role();
  v_subject constant uuid := auth.uid();
  v_acts_for_others constant boolean := v_role = 'service_role'
    or pg_has_role(v_role, current_user, 'member');
  v_person session_approval.people;
begin
  if p_user_id is null
    or v_role = 'anon'
    or (not v_acts_for_others and v_subject is null)
  then
    perform session_approval.refuse(401, 'AUTHENTICATION_ERROR', 'Please sign in');
  end if;

  if not v_acts_for_others and p_user_id <> v_subject then
    perform session_approval.refuse(
      403, 'AUTHORIZATION_ERROR', 'You can only act as yourself');
  end if;

  select p.*
  into v_person
  from session_approval.people p
  where p.id = p_user_id;

  if v_person.id is null
    or (v_person.is_active is not true and not (p_may_be_inactive and v_acts_for_others))
  then
    perform session_approval.refuse(
      403, 'AUTHORIZATION_ERROR', 'This account is not active');
  end if;

  return v_person;
end
$$;

comment on function session_approval.prove_caller(uuid, boolean) is
  'Returns the person who is acting, or refuses with 401 or 403.';

revoke all on function session_approval.prove_caller(uuid, boolean) from public, anon, authenticated;
