-- Write an opening entry for every lot that has none. The install locked writers out before it made the
-- triggers, and they stay out until this transaction ends. So no change of a balance is missed.
--
-- An online install skips this, because sql/online/lots.sql does the same afterwards, in batches. If a
-- lot changes before its turn, the trigger writes its opening entry.

do $$
begin
  if current_setting('session_approval.online', true) is distinct from 'on' then
    perform session_approval.open_lots(
      array(
        select l.id
        from public.user_credits l
        where not exists (
          select from session_approval.credit_ledger e where e.lot_id = l.id
        )
      ));
  end if;
end
$$;
