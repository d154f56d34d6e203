-- What a hosted project has beside: Realtime and pg_cron, as far as an install meets them. Over older.sql.

alter table public.sessions enable row level security;
create policy "Both see the session" on public.sessions for select to authenticated
  using ((select auth.uid()) in (user_id, therapist_id));
create schema realtime;
create table realtime.messages (topic text);
create function realtime.topic() returns text language sql as $$ select 'x' $$;
create function realtime.send(payload jsonb, event text, topic text, private boolean)
  returns void language sql as $$ select $$;
create schema cron;
create table cron.job (jobid bigint, jobname text);
insert into cron.job values (1, 'theirs');
create function cron.schedule(job_name text, schedule text, command text) returns bigint
language plpgsql as $$
begin
  delete from cron.job where jobname = job_name;
  insert into cron.job values (7, job_name);
  return 7;
end
$$;
create function cron.unschedule(job_id bigint) returns boolean language sql as
  $$ delete from cron.job where jobid = job_id returning true $$;
