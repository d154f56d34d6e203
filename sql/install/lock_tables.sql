-- Lock tables of the application against writers, without making the writers queue for long. A
-- transaction that waits for such a lock makes all later ones wait behind it. So each attempt waits
-- 40 ms at most, and gets all of the tables or none. The attempts go on for five seconds.
--
-- p_mode: access exclusive; or share row exclusive, which readers do not wait for.
--
-- Caller: the install alone. Locks: the tables in the order given, to the end of the transaction.
-- Refuses with 55P03 when other transactions keep their locks, and names their processes.

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
  -- This mode does not block reads or writes. Waiting for it makes a running autovacuum stop; holding it
  -- keeps autovacuum away.
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

        -- The transactions that queued behind this attempt go first.
        perform pg_sleep(0.1 + random() / 10);
    end;
  end loop;
end
$$;

comment on function session_approval.lock_tables(text, text[]) is
  'Lock tables of the application, in short attempts, so that other transactions do not wait for long.';

revoke all on function session_approval.lock_tables(text, text[]) from public, anon, authenticated;
