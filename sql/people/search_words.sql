-- A name, an e-mail address or what somebody types to find one, made comparable: small letters, and accents
-- taken off, so that "jose" finds "José". Letters such as ø, ß and ł have no accent and stay as they are;
-- which small letter belongs to a capital one, beyond A to Z, is for the database's locale to say.
-- Postgres can take accents off only where the database's encoding is UTF8; elsewhere they count.

create or replace function session_approval.search_words(p_text text)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when getdatabaseencoding() = 'UTF8'
      then lower(regexp_replace(normalize(p_text, nfd), '[\u0300-\u036f]', '', 'g'))
    else lower(p_text)
  end
$$;

comment on function session_approval.search_words(text) is
  'Text in small letters and without accents, to be searched and to search with.';

revoke all on function session_approval.search_words(text) from public, anon, authenticated;
