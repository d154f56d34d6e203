-- One client of list_clients.

do $$
begin
  if to_regtype('public.client_answer') is null then
    create type public.client_answer as (
      id uuid,
      full_name text,
      email text,
      time_zone text,
      beside jsonb
    );
  end if;
end
$$;

revoke all on type public.client_answer from public, anon, authenticated, service_role;

comment on type public.client_answer is 'A person to whom a therapist may propose sessions.';
comment on column public.client_answer.id is 'The client.';
comment on column public.client_answer.full_name is 'The client''s name.';
comment on column public.client_answer.email is 'The client''s e-mail address.';
comment on column public.client_answer.time_zone is
  'IANA time zone in which the client reads times; null if it is not known.';
comment on column public.client_answer.beside is
  'Not part of the client: has_more says whether there are more clients after this page.';
