-- The proposals that wait for the caller's answer, newest first, a page at a time.
--
-- Caller: any active person, as the token's subject; only clients have such proposals. p_before is the
-- id of the last session of the previous page; that session may have been answered since. beside says
-- whether there are more (has_more).
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR.

create or replace function session_approval.list_pending_sessions(p_limit integer, p_before uuid)
returns setof public.session_answer
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_before timestamptz;
  v_problems jsonb;
begin
  -- Where the column created_at has no default, the sessions that our functions insert have no
  -- created_at.
  select coalesce(to_timestamp(extract(epoch from s.created_at)), '-infinity')
  into v_before
  from public.sessions s
  where s.id = p_before
    and s.user_id = v_caller.id;

  v_problems := jsonb_strip_nulls(jsonb_build_object(
    'limit', case
      when (p_limit between 1 and 100) is not true then 'must be a whole number from 1 to 100'
    end,
    'before', case
      when p_before is not null and not found then 'must be the id of one of your sessions'
    end
  ));
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The filter is not valid', v_problems);
  end if;

  return query
  with page as materialized (
    select d.*
    from session_approval.session_details d
    where d.status = 'pending_approval'
      and d.id in (
        select s.id
        from public.sessions s
        where s.user_id = v_caller.id
          and s.status = 'pending_approval'
      )
      and (
        p_before is null
        or coalesce(d.created_at, '-infinity') < v_before
        or (coalesce(d.created_at, '-infinity') = v_before and d.id > p_before)
      )
    order by coalesce(d.created_at, '-infinity') desc, d.id
    limit p_limit + 1
  )
  select page.*, jsonb_build_object('has_more', (select count(*) > p_limit from page))
  from page
  order by coalesce(page.created_at, '-infinity') desc, page.id
  limit p_limit;
end
$$;

create or replace function public.list_pending_sessions(
  p_limit integer default 50,
  p_before uuid default null
)
returns setof public.session_answer
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.list_pending_sessions(p_limit, p_before) $$;

comment on function public.list_pending_sessions(integer, uuid) is
  'The sessions that wait for your approval, newest first, a page at a time; p_before is the last id of '
  'the previous page. Refuses with 400, 401, 403.';
comment on function session_approval.list_pending_sessions(integer, uuid) is
  'The implementation of public.list_pending_sessions.';

revoke all on function public.list_pending_sessions(integer, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.list_pending_sessions(integer, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.list_pending_sessions(integer, uuid)
  to authenticated, service_role;
grant execute on function session_approval.list_pending_sessions(integer, uuid)
  to authenticated, service_role;
