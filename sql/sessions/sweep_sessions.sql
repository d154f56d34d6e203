-- End what is out of time: proposals that were not answered, approved sessions whose end has passed, and
-- clients' credits that have expired. The application itself takes care of other sessions and lots.
--
-- Caller: service_role, or the owner; every minute or so. The sweep does not have to be punctual,
-- because every function treats an expired proposal as cancelled and an expired lot as spent.
-- A sweep ends at most 500 of each, and skips rows that another transaction has locked. So it can run
-- from two places at once, and beside approvals. Call it again while it answers with 500.
-- Credits go back in the order of their lots, which is the order in which an approval locks them.
--
-- It also writes down the search_path of the application's triggers, where a schema's grants have changed.

create or replace function session_approval.sweep_sessions()
returns setof public.sweep_answer
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_id uuid;
  v_answer public.sweep_answer;
begin
  v_answer := row(0, 0, 0);

  perform session_approval.refresh_application_path();

  for v_id in
    select s.id
    from public.sessions s
    where s.status = 'pending_approval'
      and s.approval_expires_at <= now()
    order by s.approval_expires_at
    limit 500
    for no key update skip locked
  loop
    perform session_approval.expire_proposal(v_id);

    v_answer.sessions_expired := v_answer.sessions_expired + 1;
  end loop;

  for v_id in
    with due as materialized (
      select s.id, s.credit_lot_id
      from public.sessions s
      where s.requires_approval
        and s.status in ('scheduled', 'confirmed', 'in_progress')
        and s.end_time <= now() - (
          select settings.finish_after from session_approval.settings settings
        )
      order by s.end_time
      limit 500
      for no key update skip locked
    )
    select due.id
    from due
    order by due.credit_lot_id, due.id
  loop
    perform session_approval.close_session(v_id);

    v_answer.sessions_closed := v_answer.sessions_closed + 1;
  end loop;

  for v_id in
    select l.id
    from public.user_credits l
    where l.expires_at <= now()
      and l.credits_balance > 0
      and l.user_type::text = any (
        (select settings.client_types from session_approval.settings settings)::text[]
      )
    order by l.id
    limit 500
    for no key update skip locked
  loop
    perform session_approval.expire_lot(v_id);

    v_answer.lots_expired := v_answer.lots_expired + 1;
  end loop;

  return next v_answer;
end
$$;

create or replace function public.sweep_sessions()
returns setof public.sweep_answer
language sql
volatile
security invoker
set search_path = ''
as $$ select * from session_approval.sweep_sessions() $$;

comment on function public.sweep_sessions() is
  'Cancel proposals that were not answered in time, close approved sessions whose end has passed and '
  'write off expired credits, up to 500 of each. For service_role.';
comment on function session_approval.sweep_sessions() is 'The implementation of public.sweep_sessions.';

revoke all on function public.sweep_sessions() from public, anon, authenticated, service_role;
revoke all on function session_approval.sweep_sessions()
  from public, anon, authenticated, service_role;
grant execute on function public.sweep_sessions() to service_role;
grant execute on function session_approval.sweep_sessions() to service_role;
