-- Every change of every credit balance, by our functions or by other code. The sum of a lot's entries is
-- its balance. There are no foreign keys: a lot, session or person can still be deleted, and its history
-- stays.

create table if not exists session_approval.credit_ledger (
  id bigint generated always as identity,
  lot_id uuid not null,
  user_id uuid,
  session_id uuid,
  kind text not null,
  -- The credits of a lot are an integer in user_credits, too.
  -- squawk-ignore prefer-bigint-over-int
  delta integer not null,
  -- squawk-ignore prefer-bigint-over-int
  balance_after integer not null,
  actor_id uuid,
  reason text,
  source text,
  reference text,
  created_at timestamptz not null default now(),
  constraint credit_ledger_pkey primary key (id),
  constraint kind_is_known check (
    kind in ('opening', 'grant', 'approval', 'refund', 'expiry', 'external')
  ),
  constraint an_approval_takes_one_credit_for_a_session check (
    kind <> 'approval' or (delta = -1 and session_id is not null)
  ),
  constraint a_refund_returns_one_credit_for_a_session check (
    kind <> 'refund' or (delta = 1 and session_id is not null)
  )
);

-- An entry can name an earlier one, because a correction can take a refunded credit again.
do $$
begin
  perform session_approval.add_column('session_approval.credit_ledger', c.name, c.definition, c.comment)
  from (
    values
      (
        'returns_id', 'bigint',
        'In a refund: the debit (kind approval) that it returns. In a second debit of a session: the refund '
        'that it undoes. Null in every other entry.'
      ),
      (
        'private_reason', 'text',
        'In the actor''s words, for operators alone: never shown to the session''s people.'
      )
  ) as c (name, definition, comment);

  if not exists (
    select
    from pg_catalog.pg_constraint k
    where k.conrelid = 'session_approval.credit_ledger'::regclass
      and k.conname = 'a_refund_names_the_debit_that_it_returns'
  ) then
    perform session_approval.lock_tables('access exclusive', 'session_approval.credit_ledger');
    perform set_config('session_approval.allow_ledger_changes', 'on', true);

    -- In earlier commits a session had at most one debit and one refund.
    update session_approval.credit_ledger refund
    set returns_id = debit.id
    from session_approval.credit_ledger debit
    where refund.kind = 'refund'
      and debit.kind = 'approval'
      and debit.session_id = refund.session_id;

    perform set_config('session_approval.allow_ledger_changes', 'off', true);

    alter table session_approval.credit_ledger
      add constraint a_refund_names_the_debit_that_it_returns check (
        kind <> 'refund' or returns_id is not null
      );
    alter table session_approval.credit_ledger
      add constraint only_debits_and_refunds_name_an_entry check (
        returns_id is null or kind in ('approval', 'refund')
      );
    alter table session_approval.credit_ledger
      add constraint an_entry_names_an_earlier_one check (returns_id < id);

    drop index if exists session_approval.credit_ledger_session_id_kind_idx;
  end if;
end
$$;

-- "create index if not exists" locks writers out even if the index is there.
do $$
begin
  -- To reconcile a lot, and to find a lot that has no opening entry yet.
  if to_regclass('session_approval.credit_ledger_lot_id_idx') is null then
    create index credit_ledger_lot_id_idx
      on session_approval.credit_ledger (lot_id, id);
  end if;

  -- A lot has one opening entry. Either sql/online or a change of its balance writes it.
  if to_regclass('session_approval.credit_ledger_lot_id_opening_idx') is null then
    create unique index credit_ledger_lot_id_opening_idx
      on session_approval.credit_ledger (lot_id)
      where kind = 'opening';
  end if;

  -- get_credits: one client's history, newest first.
  if to_regclass('session_approval.credit_ledger_user_id_idx') is null then
    create index credit_ledger_user_id_idx
      on session_approval.credit_ledger (user_id, id desc);
  end if;

  -- A session has at most one first debit, which names no earlier entry. The locks already prevent a
  -- second one; this index is the last defence. It also finds all debits and refunds of one session.
  if to_regclass('session_approval.credit_ledger_session_id_returns_id_idx') is null then
    create unique index credit_ledger_session_id_returns_id_idx
      on session_approval.credit_ledger (session_id, coalesce(returns_id, 0))
      where kind in ('approval', 'refund');
  end if;

  -- A debit is returned at most once. A refund is undone at most once.
  if to_regclass('session_approval.credit_ledger_returns_id_idx') is null then
    create unique index credit_ledger_returns_id_idx
      on session_approval.credit_ledger (returns_id)
      where returns_id is not null;
  end if;

  -- grant_credits: one reference of one source is one grant.
  if to_regclass('session_approval.credit_ledger_source_reference_idx') is null then
    create unique index credit_ledger_source_reference_idx
      on session_approval.credit_ledger (source, reference)
      where kind = 'grant';
  end if;
end
$$;

revoke all on session_approval.credit_ledger from public, anon, authenticated, service_role;
revoke all on sequence session_approval.credit_ledger_id_seq
  from public, anon, authenticated, service_role;
grant select on session_approval.credit_ledger to service_role;

comment on table session_approval.credit_ledger is
  'Append-only: one row for every change of any user_credits.credits_balance. The unit is one credit.';
comment on column session_approval.credit_ledger.id is 'The order of the changes.';
comment on column session_approval.credit_ledger.lot_id is 'The row of user_credits that changed.';
comment on column session_approval.credit_ledger.user_id is
  'The owner of the credits; null if the lot has no owner.';
comment on column session_approval.credit_ledger.session_id is
  'The session that was paid or refunded; null if the change is about no session.';
comment on column session_approval.credit_ledger.kind is
  'opening: the balance at install. grant: bought or given. approval: paid for a session. refund: '
  'returned from a session. expiry: written off. external: changed by other code than our functions.';
comment on column session_approval.credit_ledger.delta is 'Credits added; negative if taken.';
comment on column session_approval.credit_ledger.balance_after is 'Credits in the lot after the change.';
comment on column session_approval.credit_ledger.actor_id is
  'The person who made the change; null if the database does not know.';
comment on column session_approval.credit_ledger.reason is 'The reason, in the actor''s words.';
comment on column session_approval.credit_ledger.source is
  'For a grant: where it comes from, such as the payment provider. For an external change: the database '
  'role.';
comment on column session_approval.credit_ledger.reference is
  'For a grant: the payment''s own id. One source and one reference make one grant.';
comment on column session_approval.credit_ledger.created_at is
  'The time of the change, by the database''s clock.';
