-- Adds credits to a client's wallet. They become a new lot. If the installation keeps one lot per client
-- (a unique user_id and user_type), they are added to that lot instead.
--
-- A new lot gets the user_type of the client's account. If the installation's own check does not allow
-- that name, the lot gets the first name in settings.client_types that the check allows.
-- When credits are added to a lot, its expired credits are written off first. The lot then lasts until
-- the later of the two dates. A lot that was switched off is switched on, because the credits were paid
-- for. A balance below zero, which old bugs could cause, is not reset: the new credits fill it up first.
-- Locks: the lot that gets the credits.

create or replace function session_approval.add_credits(
  p_user_id uuid,
  p_amount integer,
  p_expires_at timestamptz,
  p_note jsonb
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_names constant text[] := array(
    select client_type.name
    from session_approval.settings settings
    cross join unnest(settings.client_types) with ordinality client_type (name, place)
    left join session_approval.people p on p.id = p_user_id
    order by client_type.name is distinct from p.user_type::text, client_type.place
  );
  v_name text;
  v_lot_id uuid;
begin
  perform session_approval.note_credit_entry(p_note);

  foreach v_name in array v_names loop
    begin
      insert into public.user_credits (user_id, user_type, credits_balance, expires_at)
      values (p_user_id, v_name, p_amount, p_expires_at)
      on conflict do nothing
      returning id into v_lot_id;
      exit;
    exception
      when check_violation then
        if v_name = v_names[cardinality(v_names)] then
          raise;
        end if;
    end;
  end loop;

  if v_lot_id is not null then
    return v_lot_id;
  end if;

  select l.id
  into v_lot_id
  from public.user_credits l
  where l.user_id = p_user_id
    and l.user_type::text = any (v_names)
  order by coalesce(l.status, 'active') = 'active' desc, l.user_type = v_name desc, l.id
  limit 1
  for no key update;

  if not found then
    raise exception 'public.user_credits takes no new lot for this person, and has none to top up'
      using errcode = 'unique_violation';
  end if;

  perform session_approval.expire_lot(v_lot_id);
  perform session_approval.note_credit_entry(p_note);

  update public.user_credits l
  set
    credits_balance = coalesce(l.credits_balance, 0) + p_amount,
    status = 'active',
    expires_at = case
      when l.expires_at is null or p_expires_at is null then null
      else greatest(l.expires_at, p_expires_at)
    end
  where l.id = v_lot_id;

  return v_lot_id;
end
$$;

comment on function session_approval.add_credits(uuid, integer, timestamptz, jsonb) is
  'Add credits to a client''s wallet, as a new lot or to the only lot that the client can have; returns '
  'the lot.';

revoke all on function session_approval.add_credits(uuid, integer, timestamptz, jsonb)
  from public, anon, authenticated;
