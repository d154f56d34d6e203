-- Tell PostgREST to load the new functions now. If no PostgREST listens, this does nothing.

notify pgrst, 'reload schema';
