-- Take the product out: everything of ours is dropped. The application's tables keep their rows.
-- psql -X -1 -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -f sql/uninstall/uninstall.sql
--
-- The history is dropped with the schema: credit ledger, session events, bookings. To keep it, first run
--   pg_dump -d "$DATABASE_URL" -n session_approval > session_approval.sql
--
-- Columns that the install added to sessions and user_credits stay, with their values. Other columns are
-- never dropped. To drop the added columns, run this first, in the same connection (psql: -c before -f):
--   set session_approval.uninstall_columns = 'drop';
--
-- preview.sql shows all of this beforehand. If an object of the application depends on one of ours, this
-- stops, names that object and changes nothing.

set local lock_timeout = '5s';
set local client_min_messages = warning;

do $$
declare
  v_plan jsonb;
  v_step jsonb;
begin
  if to_regclass('session_approval.uninstall_plan') is null then
    raise exception using
      message = 'there is no session_approval.uninstall_plan here; nothing was changed',
      hint = 'Where the product is installed in an older or damaged form, install it again first.',
      errcode = 'object_not_in_prerequisite_state';
  end if;

  if coalesce(current_setting('session_approval.uninstall_columns', true), '')
    not in ('', 'keep', 'drop')
  then
    raise exception using
      message = 'session_approval.uninstall_columns is either keep or drop; nothing was changed',
      errcode = 'invalid_parameter_value';
  end if;

  -- No other transaction may write between reading the plan and changing the tables.
  lock table public.sessions, public.user_credits in access exclusive mode;

  select jsonb_agg(to_jsonb(p) order by p.step, p.what)
  into v_plan
  from session_approval.uninstall_plan p;

  if v_plan -> 0 ->> 'step' = '0' then
    raise exception using
      message = 'session approval cannot be taken out yet; nothing was changed.' || (
        select string_agg(E'\n  - ' || (p.step ->> 'what'), '')
        from jsonb_array_elements(v_plan) p (step)
        where p.step ->> 'step' = '0'
      ),
      hint = 'Drop or change these first.',
      errcode = 'dependent_objects_still_exist';
  end if;

  for v_step in select * from jsonb_array_elements(v_plan) loop
    if v_step ->> 'statement' is not null then
      execute v_step ->> 'statement';
    end if;

    if v_step ->> 'what' like 'kept:%' then
      raise info '%', v_step ->> 'what';
    end if;
  end loop;
end
$$;

notify pgrst, 'reload schema';
