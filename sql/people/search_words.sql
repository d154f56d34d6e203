-- Makes a name, an e-mail address or a search comparable: small letters and no accents, so that "jose"
-- finds "José". Letters such as ø, ß and ł have no accent, and stay as they are. Outside A to Z, the
-- database's locale decides which small letter belongs to a capital letter.
-- Postgres can remove accents only if the database's encoding is UTF8. With another encoding they stay.

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
  'The text in small letters and without accents, so that a search can compare it.';

revoke all on function session_approval.search_words(text) from public, anon, authenticated;
