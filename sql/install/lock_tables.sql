-- Take a lock on tables of the application's that keeps its writers out, without making them queue for long:
-- whoever waits for such a lock has everybody after it wait as well. So it is asked for in bites of 40 ms,
-- all of the tables or none, for five seconds.
--
-- p_mode: access exclusive; or share row exclusive, which lets readers go on.
--
-- Caller: the install alone. Locks: the tables in the order given, to the end of the transaction.
-- Refuses with 55P03 when others would not let go, and names them.

create or replace function session_approval.lock_tables(p_mode text, variadic p_tables text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_until constant timestamptz := clock_timestamp() + interval '5 seconds';
  v_mode constant text := case p_mode
    when 'access exclusive' then 'access exclusive' else 'share row exclusive'
  end;
  v_timeout constant text := current_setting('lock_timeout');
  v_table text;
  v_holders text;
begin
  -- This mode keeps nobody out. Waiting for it makes an automatic vacuum give way, and holding it, stay away.
  foreach v_table in array p_tables loop
    execute format('lock table %s in share update exclusive mode', v_table::regclass);
  end loop;

  loop
    begin
      perform set_config('lock_timeout', (40 / cardinality(p_tables))::text, true);

      foreach v_table in array p_tables loop
        execute format('lock table %s in %s mode', v_table::regclass, v_mode);
      end loop;

      perform set_config('lock_timeout', v_timeout, true);

      return;
    exception
      when lock_not_available then
        if clock_timestamp() > v_until then
          select string_agg(distinct format(E'\n  - process %s: %s', a.pid, left(a.query, 80)), '')
          into v_holders
          from pg_catalog.pg_locks l
          join pg_catalog.pg_stat_activity a on a.pid = l.pid
          where l.relation = any (p_tables::regclass[])
            and l.granted
            and l.pid <> pg_backend_pid();

          raise exception using
            message = format(
              'no lock on %s within 5 seconds; this transaction changed nothing, run it again. Held by:%s',
              array_to_string(p_tables, ', '), coalesce(v_holders, ' somebody else each time')),
            errcode = 'lock_not_available';
        end if;

        -- Those who queued up behind the attempt go first.
        perform pg_sleep(0.1 + random() / 10);
    end;
  end loop;
end
$$;

comment on function session_approval.lock_tables(text, text[]) is
  'Lock tables of the application, in bites so short that nobody queues behind it for long.';

revoke all on function session_approval.lock_tables(text, text[]) from public, anon, authenticated;
