-- What a shard has beside the product: the one function by which the router calls a door for somebody.
--
-- Caller: the role of the router alone, which has proved the token. The claims it hands on are believed here
-- as they are from PostgREST, so nobody else may reach a shard.

create schema if not exists shards;

create or replace function shards.answer(p_claims text, p_function text, p_arguments jsonb)
returns setof jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform set_config('request.jwt.claims', p_claims, true);
  perform set_config('role', p_claims::jsonb ->> 'role', true);

  return query execute format(
    'select to_jsonb(answer) from public.%I(%s) answer',
    p_function,
    (
      select coalesce(string_agg(format('%I => %L', a.key, a.value), ', '), '')
      from jsonb_each_text(p_arguments) a
    ));
end
$$;

comment on function shards.answer(text, text, jsonb) is 'Call a door of this shard with a token''s claims.';

revoke all on schema shards from public;
revoke all on function shards.answer(text, text, jsonb) from public;
grant usage on schema shards to authenticator;
grant execute on function shards.answer(text, text, jsonb) to authenticator;
