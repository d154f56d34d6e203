-- Lock other writers out of sessions and credits, until the transaction ends. This comes as late as it
-- can, just before the triggers, so that writers wait only for a short time.

do $$
begin
  perform session_approval.lock_tables('share row exclusive', 'public.sessions', 'public.user_credits');
end
$$;
