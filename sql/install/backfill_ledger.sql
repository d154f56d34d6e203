-- The lots that are there get their opening entries. Writers have been locked out since before the triggers
-- were made, until this transaction ends, so that no change falls between the two. sql/online/lots.sql does
-- the same afterwards, in batches; a lot that is changed before its turn is opened by its trigger.

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
