-- If a check on status alone refuses one of the seven statuses, the install widens it to allow all
-- seven. The check still allows every value that it allowed before. Checks that use other columns too
-- are left alone.
--
-- sql/online validates the check against the existing rows later, when no writer has to wait for it.

do $$
declare
  v_seven constant text := $list$
    'pending_approval', 'scheduled', 'confirmed', 'in_progress', 'completed', 'no_show', 'cancelled'
  $list$;
  v_check record;
  v_allows_all boolean;
begin
  for v_check in
    select
      k.conname, pg_catalog.pg_get_expr(k.conbin, k.conrelid) as expression,
      k.convalidated as is_valid,
      case when not k.convalidated or current_setting('session_approval.online', true) = 'on'
        then 'not valid' else '' end as validity
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_attribute a
      on a.attrelid = k.conrelid
     and a.attname = 'status'
    where k.conrelid = 'public.sessions'::regclass
      and k.contype = 'c'
      and k.conkey = array[a.attnum]
  loop
    execute format(
      'select bool_and(%s) from unnest(array[%s]) as t (status)', v_check.expression, v_seven)
    into v_allows_all;

    if v_allows_all is false then
      perform session_approval.lock_tables('access exclusive', 'public.sessions');

      execute format('alter table public.sessions drop constraint %I', v_check.conname);
      execute format(
        'alter table public.sessions add constraint %I check ((%s) or status in (%s)) %s',
        v_check.conname, v_check.expression, v_seven, v_check.validity);

      insert into session_approval.install_changes (kind, name, was, became)
      select
        'check', v_check.conname, v_check.expression,
        -- If the check is going to be validated, record its definition without "not valid".
        case when v_check.is_valid
          then regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '')
          else pg_catalog.pg_get_constraintdef(k.oid) end
      from pg_catalog.pg_constraint k
      where k.conrelid = 'public.sessions'::regclass
        and k.conname = v_check.conname
      on conflict (kind, name) do update set was = excluded.was, became = excluded.became;
    end if;
  end loop;

  -- Validate the checks that an interrupted sql/online left "not valid".
  if current_setting('session_approval.online', true) is distinct from 'on' then
    for v_check in
      select k.conname
      from session_approval.install_changes n
      join pg_catalog.pg_constraint k
        on k.conrelid = 'public.sessions'::regclass
       and k.conname = n.name
      where n.kind = 'check'
        and pg_catalog.pg_get_constraintdef(k.oid) = n.became || ' NOT VALID'
    loop
      execute format('alter table public.sessions validate constraint %I', v_check.conname);
    end loop;
  end if;
end
$$;
