-- The clients to whom the caller may propose sessions, a page at a time, in the order of their names.
-- These are all active clients of the installation. A time zone that the server's tz database does not
-- know is returned as null.
--
-- Caller: an active therapist, as the token's subject.
-- p_search: a client is listed if the name or the e-mail address contains every word of it. Capitals and
-- accents do not matter (search_words).
-- p_after: the id of the last client on the previous page.
--
-- Refusals: 400 VALIDATION_ERROR (details name each field), 401 AUTHENTICATION_ERROR,
-- 403 AUTHORIZATION_ERROR.

create or replace function session_approval.list_clients(
  p_search text,
  p_limit integer,
  p_after uuid
)
returns setof public.client_answer
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_words constant text[] := regexp_split_to_array(
    nullif(btrim(session_approval.search_words(p_search)), ''), '\s+');
  v_after_name text;
  v_problems jsonb;
begin
  if not session_approval.is_therapist(v_caller.user_type::text) then
    perform session_approval.refuse(403, 'AUTHORIZATION_ERROR', 'Only a therapist can list clients');
  end if;

  select coalesce(c.full_name, '')
  into v_after_name
  from session_approval.clients c
  where c.id = p_after;

  v_problems := jsonb_strip_nulls(jsonb_build_object(
    'search', case when length(p_search) > 200 then 'must be at most 200 characters' end,
    'limit', case
      when (p_limit between 1 and 100) is not true then 'must be a whole number from 1 to 100'
    end,
    'after', case
      when p_after is not null and v_after_name is null then 'must be the id of a client'
    end
  ));
  if v_problems <> '{}' then
    perform session_approval.refuse(400, 'VALIDATION_ERROR', 'The filter is not valid', v_problems);
  end if;

  return query
  with page as materialized (
    select c.id, c.full_name, c.email, c.time_zone, coalesce(c.full_name, '') as sort_name
    from session_approval.clients c
    where c.id <> v_caller.id
      and (p_after is null or (coalesce(c.full_name, ''), c.id) > (v_after_name, p_after))
      and not exists (
        select
        from unnest(v_words) word (text)
        where strpos(
          session_approval.search_words(concat_ws(' ', c.full_name, c.email)), word.text) = 0
      )
    order by sort_name, c.id
    limit p_limit + 1
  )
  select
    p.id,
    p.full_name,
    p.email,
    case when session_approval.is_time_zone(p.time_zone) then p.time_zone end,
    jsonb_build_object('has_more', (select count(*) > p_limit from page))
  from page p
  order by p.sort_name, p.id
  limit p_limit;
end
$$;

create or replace function public.list_clients(
  p_search text default null,
  p_limit integer default 50,
  p_after uuid default null
)
returns setof public.client_answer
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.list_clients(p_search, p_limit, p_after) $$;

comment on function public.list_clients(text, integer, uuid) is
  'The clients to whom you, as a therapist, may propose sessions, a page at a time. p_search: words of '
  'the name or the e-mail address. p_after: the last id of the previous page. Refuses with '
  '400, 401, 403.';
comment on function session_approval.list_clients(text, integer, uuid) is
  'The implementation of public.list_clients.';

revoke all on function public.list_clients(text, integer, uuid)
  from public, anon, authenticated, service_role;
revoke all on function session_approval.list_clients(text, integer, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.list_clients(text, integer, uuid) to authenticated, service_role;
grant execute on function session_approval.list_clients(text, integer, uuid)
  to authenticated, service_role;
