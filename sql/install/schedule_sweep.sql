-- Where pg_cron is installed, the sweep runs every minute by itself; elsewhere an operator's command does it.
-- A job of this name is replaced, not added again.

do $$
begin
  -- Asked by itself and first: where the schema may not be used, to_regprocedure fails.
  if has_schema_privilege(to_regnamespace('cron')::oid, 'usage') then
    if to_regprocedure('cron.schedule(text, text, text)') is not null then
      perform cron.schedule(
        'session_approval_sweep', '* * * * *', 'select session_approval.sweep_sessions()');
    end if;
  end if;
end
$$;
