-- PostgREST learns of the functions at once; where none listens this does nothing.

notify pgrst, 'reload schema';
