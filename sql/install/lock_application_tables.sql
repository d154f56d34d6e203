-- From here to the end nobody writes sessions or credits. It comes last, before the triggers, so that it is
-- short.

do $$
begin
  perform session_approval.lock_tables('share row exclusive', 'public.sessions', 'public.user_credits');
end
$$;
