-- Where pg_cron is installed, the sweep runs every minute by itself; elsewhere python -m scripts.sweep does
-- it.
-- A job of this name is replaced, not added again.

do $$
begin
  if to_regprocedure('cron.schedule(text, text, text)') is not null
    and has_schema_privilege('cron', 'usage')
  then
    perform cron.schedule(
      'session_approval_sweep', '* * * * *', 'select session_approval.sweep_sessions()');
  end if;
end
$$;
