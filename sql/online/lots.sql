-- Write an opening entry for every lot that has none, up to 500 lots in a transaction. A transaction
-- skips the lots that others have locked, and holds its own locks for milliseconds.
--
-- If a lot changes before its turn, the trigger writes its opening entry. A lot never gets two
-- (credit_ledger_lot_id_opening_idx).

do $$
declare
  v_until constant timestamptz := clock_timestamp() + interval '1 hour';
  v_lots uuid[];
  v_locked uuid[];
  v_first integer;
begin
  loop
    v_lots := array(
      select l.id
      from public.user_credits l
      where not exists (
        select from session_approval.credit_ledger e where e.lot_id = l.id
      )
      order by l.created_at, l.id
    );

    exit when cardinality(v_lots) = 0;

    if clock_timestamp() > v_until then
      raise exception using
        message = format('%s lots have been locked by others for an hour', cardinality(v_lots)),
        hint = 'Run this again when they are done; what is opened stays so.',
        errcode = 'lock_not_available';
    end if;

    for v_first in 1 .. cardinality(v_lots) by 500 loop
      v_locked := array(
        select l.id
        from public.user_credits l
        where l.id = any (v_lots[v_first : v_first + 499])
        for no key update skip locked
      );
      perform session_approval.open_lots(v_locked);

      commit;
    end loop;

    perform pg_sleep(0.1);
    commit;
  end loop;
end
$$;
