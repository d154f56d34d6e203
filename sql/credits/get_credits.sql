-- The credits that the caller can spend, the caller's lots in the order in which they pay, and the
-- changes, latest first, 100 a page.
--
-- Caller: every active person, as the token's subject.
-- p_before: the id of the last change on the previous page.
--
-- Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.

create or replace function session_approval.get_credits(p_before bigint)
returns setof public.credits_answer
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_caller session_approval.people := session_approval.prove_caller(auth.uid());
  v_balance integer := session_approval.spendable_balance(v_caller.id);
begin
  return query
  select
    v_balance,
    (
      select coalesce(sum(l.credits_balance), 0)::integer
      from public.user_credits l
      where l.user_id = v_caller.id
    ),
    v_balance,
    v_balance <= settings.low_balance,
    (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', l.id,
        'credits_balance', l.credits_balance::integer,
        'expires_at', l.expires_at,
        'created_at', to_timestamp(extract(epoch from l.created_at)),
        'is_spendable', spendable.id is not null
      ) order by l.expires_at nulls last, l.created_at, l.id), '[]')
      from public.user_credits l
      left join session_approval.spendable_lots spendable on spendable.id = l.id
      where l.user_id = v_caller.id
        and l.credits_balance <> 0
    ),
    page.history,
    page.has_more
  from session_approval.settings settings
  cross join (
    select
      coalesce(jsonb_agg(to_jsonb(h) - 'place' order by h.id desc) filter (where h.place <= 100), '[]'),
      count(*) > 100
    from (
      select
        e.id, e.kind, e.delta, e.balance_after, e.lot_id, e.session_id, s.title as session_title,
        e.reason, e.created_at, row_number() over (order by e.id desc) as place
      from session_approval.credit_ledger e
      left join public.sessions s on s.id = e.session_id
      where e.user_id = v_caller.id
        and (p_before is null or e.id < p_before)
      order by e.id desc
      limit 101
    ) h
  ) page (history, has_more);
end
$$;

create or replace function public.get_credits(p_before bigint default null)
returns setof public.credits_answer
language sql
stable
security invoker
set search_path = ''
as $$ select * from session_approval.get_credits(p_before) $$;

comment on function public.get_credits(bigint) is
  'Your credits: the balance that an approval would see, each lot, and 100 changes, latest first. '
  'p_before: the last id of the previous page. Refuses with 401, 403.';
comment on function session_approval.get_credits(bigint) is 'The implementation of public.get_credits.';

revoke all on function public.get_credits(bigint) from public, anon, authenticated, service_role;
revoke all on function session_approval.get_credits(bigint)
  from public, anon, authenticated, service_role;
grant execute on function public.get_credits(bigint) to authenticated, service_role;
grant execute on function session_approval.get_credits(bigint) to authenticated, service_role;
