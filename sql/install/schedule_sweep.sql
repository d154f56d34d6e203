-- If pg_cron is installed, it runs the sweep every minute. Otherwise an operator's command runs the
-- sweep. A second install replaces the job of this name and adds no second one.

do $$
begin
  -- This is asked first and in an "if" of its own: to_regprocedure fails if we may not use the schema.
  if has_schema_privilege(to_regnamespace('cron')::oid, 'usage') then
    if to_regprocedure('cron.schedule(text, text, text)') is not null then
      perform cron.schedule(
        'session_approval_sweep', '* * * * *', 'select session_approval.sweep_sessions()');
    end if;
  end if;
end
$$;
