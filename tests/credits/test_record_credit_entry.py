"""The ledger: one row for every change of a balance, by whoever, and its sum is the balance."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    act_as,
    add_person,
    approve,
    call,
    change,
    give_credits,
    ledger,
    propose,
)
from tests.conftest import Refused


@pytest.fixture(autouse=True)
def _the_ledger_always_sums_to_the_balances(db: Connection) -> Iterator[None]:
    """Whatever a test did, the ledger agrees with the lots when it ends."""
    yield
    if db.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
        assert disagreements(db) == []


def disagreements(db: Connection) -> list[dict[str, Any]]:
    """Return every lot whose balance is not the sum of its entries, or not its last one's."""
    return db.execute(
        """
        select lot_id, user_id, l.credits_balance, e.total, e.latest
        from (
          select id as lot_id, user_id, coalesce(credits_balance, 0) as credits_balance
          from public.user_credits
        ) l
        full join (
          select
            lot_id, user_id, sum(delta)::integer as total,
            (array_agg(balance_after order by id desc))[1] as latest
          from session_approval.credit_ledger
          group by lot_id, user_id
        ) e using (lot_id, user_id)
        where coalesce(l.credits_balance, 0) <> coalesce(e.total, 0)
          or coalesce(l.credits_balance, 0) <> coalesce(e.latest, 0)
          or (l.lot_id is not null and e.lot_id is null)
        """
    ).fetchall()


def entries(db: Connection, person: Person) -> list[tuple[Any, ...]]:
    """Return the kind, delta and balance after of every entry of a person's."""
    return [(entry["kind"], entry["delta"], entry["balance_after"]) for entry in ledger(db, person)]


def test_the_check_of_these_tests_finds_a_difference(db: Connection, client: Person) -> None:
    give_credits(db, client, 3)
    db.execute("set local session_replication_role = replica")
    db.execute("update public.user_credits set credits_balance = 4")
    assert len(disagreements(db)) == 1

    db.execute("update public.user_credits set credits_balance = 3")
    assert disagreements(db) == []
    db.execute("delete from session_approval.credit_ledger")
    assert len(disagreements(db)) == 1
    db.execute("delete from public.user_credits")


def test_a_lot_leaves_a_row_when_it_is_created_changed_or_deleted(
    db: Connection, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    change(db, "user_credits", lot, credits_balance=5)
    change(db, "user_credits", lot, credits_balance=0)
    change(db, "user_credits", lot, credits_balance=2)
    db.execute("delete from public.user_credits where id = %s", (lot,))

    assert entries(db, client) == [
        ("external", 3, 3),
        ("external", 2, 5),
        ("external", -5, 0),
        ("external", 2, 2),
        ("external", -2, 0),
    ]


def test_one_statement_over_many_lots_leaves_a_row_for_each(db: Connection, client: Person) -> None:
    for balance in (1, 2, 3):
        give_credits(db, client, balance)

    db.execute(
        "update public.user_credits set credits_balance = credits_balance * 2 where user_id = %s",
        (client.id,),
    )

    assert sorted(entry[1] for entry in entries(db, client)[3:]) == [1, 2, 3]


def test_a_row_says_which_role_and_which_person_changed_the_balance(
    db: Connection, client: Person
) -> None:
    with act_as(db, client, "service_role"):
        give_credits(db, client, 3)
    give_credits(db, client, 4)

    assert [(entry["source"], entry["actor_id"]) for entry in ledger(db, client)] == [
        ("service_role", client.id),
        ("postgres", None),
    ]


def test_topping_up_by_upsert_leaves_a_row(db: Connection, client: Person) -> None:
    lot = give_credits(db, client, 3)

    for _ in range(2):
        db.execute(
            "insert into public.user_credits as l (id, user_id, credits_balance) values (%s, %s, 2)"
            " on conflict (id) do update"
            " set credits_balance = l.credits_balance + excluded.credits_balance",
            (lot, client.id),
        )

    assert entries(db, client)[1:] == [("external", 2, 5), ("external", 2, 7)]


def test_truncating_leaves_a_row_for_every_lot(
    db: Connection, client: Person, stranger: Person
) -> None:
    give_credits(db, client, 3)
    give_credits(db, stranger, 4)

    db.execute("truncate public.user_credits")

    assert entries(db, client) == [("external", 3, 3), ("external", -3, 0)]
    assert entries(db, stranger) == [("external", 4, 4), ("external", -4, 0)]


def test_a_lot_that_gets_another_owner_moves_between_their_ledgers(
    db: Connection, client: Person, stranger: Person
) -> None:
    lot = give_credits(db, client, 3)

    change(db, "user_credits", lot, user_id=stranger.id, credits_balance=5)

    assert entries(db, client) == [("external", 3, 3), ("external", -3, 0)]
    assert entries(db, stranger) == [("external", 5, 5)]


def test_a_lot_that_gets_another_id_is_another_lot(db: Connection, client: Person) -> None:
    lot = give_credits(db, client, 3)

    db.execute("update public.user_credits set id = gen_random_uuid() where id = %s", (lot,))

    assert entries(db, client)[1:] == [("external", -3, 0), ("external", 3, 3)]


def test_the_ledger_records_the_final_balance_after_another_trigger(
    db: Connection, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    db.execute(
        "create function public.bonus() returns trigger language plpgsql"
        " as 'begin new.credits_balance := new.credits_balance + 10; return new; end'"
    )
    db.execute(
        "create trigger zz_last before update on public.user_credits for each row"
        " execute function public.bonus()"
    )

    change(db, "user_credits", lot, user_type="user")
    change(db, "user_credits", lot, credits_balance=14)

    assert entries(db, client)[1:] == [("external", 10, 13), ("external", 11, 24)]


def test_the_ledger_records_a_second_change_by_another_trigger(
    db: Connection, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    db.execute(
        "create function public.bonus() returns trigger language plpgsql as $$ begin"
        " update public.user_credits set credits_balance = credits_balance + 10"
        " where id = new.id and new.credits_balance < 10; return null; end $$"
    )
    db.execute(
        "create trigger zz_after after update on public.user_credits for each row"
        " execute function public.bonus()"
    )

    change(db, "user_credits", lot, credits_balance=4)

    assert entries(db, client)[1:] == [("external", 1, 4), ("external", 10, 14)]


@pytest.mark.parametrize(
    "columns",
    [{"expires_at": "tomorrow"}, {"status": "inactive"}, {"credits_balance": 3}],
    ids=str,
)
def test_an_update_that_does_not_change_the_balance_leaves_no_row(
    db: Connection, client: Person, columns: dict[str, Any]
) -> None:
    lot = give_credits(db, client, 3)

    change(db, "user_credits", lot, **columns)

    assert entries(db, client) == [("external", 3, 3)]


def test_an_empty_balance_counts_as_zero(db: Connection, client: Person) -> None:
    db.execute("alter table public.user_credits alter column credits_balance drop not null")
    lot = give_credits(db, client, 0)
    change(db, "user_credits", lot, credits_balance=None)
    change(db, "user_credits", lot, credits_balance=2)
    assert entries(db, client)[-1] == ("external", 2, 2)

    change(db, "user_credits", lot, credits_balance=None)
    db.execute("truncate public.user_credits")

    assert entries(db, client)[-2:] == [("external", -2, 0), ("external", 0, 0)]


def test_truncating_first_records_an_opening_for_each_unknown_lot(
    db: Connection, client: Person
) -> None:
    db.execute("alter table public.user_credits alter column credits_balance drop not null")
    give_credits(db, client, 4)
    db.execute("set local session_replication_role = replica")
    give_credits(db, client, 3)
    change(db, "user_credits", give_credits(db, client, 0), credits_balance=None)
    db.execute("set local session_replication_role = origin")

    db.execute("truncate public.user_credits")

    assert entries(db, client)[0] == ("external", 4, 4)
    assert sorted(entries(db, client)[1:3]) == [("opening", 0, 0), ("opening", 3, 3)]
    assert sorted(entries(db, client)[3:]) == [
        ("external", -4, 0),
        ("external", -3, 0),
        ("external", 0, 0),
    ]


def test_the_kind_of_a_change_is_not_used_for_the_next_change(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    session = propose(db, therapist, client)
    approve(db, client, session)
    change(db, "user_credits", lot, credits_balance=1)
    call(db, therapist, "cancel_session", p_session_id=session["id"])
    change(db, "user_credits", lot, credits_balance=1)
    give_credits(db, client, 1)

    assert [entry[0] for entry in entries(db, client)] == [
        "external",
        "approval",
        "external",
        "refund",
        "external",
        "external",
    ]
    assert {e["session_id"] for e in ledger(db, client) if e["kind"] == "external"} == {None}


def test_the_kind_of_a_refused_change_is_not_used_later(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    lot = give_credits(db, client, 3)
    session = approve(db, client, propose(db, therapist, client))
    with refused(400, "VALIDATION_ERROR"):
        call(db, client, "cancel_session", p_session_id=session["id"], p_reason="x" * 1001)

    change(db, "user_credits", lot, credits_balance=9)

    assert entries(db, client)[-1] == ("external", 7, 9)


def test_a_change_that_is_rolled_back_leaves_no_row(db: Connection, client: Person) -> None:
    lot = give_credits(db, client, 3)

    with db.transaction(force_rollback=True):
        change(db, "user_credits", lot, credits_balance=9)

    assert entries(db, client) == [("external", 3, 3)]


def add_entry(db: Connection, session: dict[str, Any], kind: str, returns: int | None) -> int:
    """Write an entry of a session's by hand; return its id."""
    [entry] = db.execute(
        "insert into session_approval.credit_ledger"
        " (lot_id, user_id, session_id, kind, delta, balance_after, returns_id)"
        " values (gen_random_uuid(), %s, %s, %s, %s, 0, %s) returning id",
        (session["user_id"], session["id"], kind, 1 if kind == "refund" else -1, returns),
    ).fetchall()
    added: int = entry["id"]
    return added


def test_only_a_refund_names_a_debit(db: Connection, therapist: Person, client: Person) -> None:
    give_credits(db, client, 3)
    session = approve(db, client, propose(db, therapist, client))
    call(db, therapist, "cancel_session", p_session_id=session["id"])

    grant, debit, refund = ledger(db, client)

    assert [grant["kind"], debit["kind"], refund["kind"]] == ["external", "approval", "refund"]
    named = [entry["returns_id"] for entry in (grant, debit, refund)]
    assert named == [None, None, debit["id"]]


def test_a_session_has_one_first_debit_and_each_entry_is_named_once(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 3)
    session = approve(db, client, propose(db, therapist, client))
    call(db, therapist, "cancel_session", p_session_id=session["id"])
    _, debit, refund = ledger(db, client)

    with db.transaction(force_rollback=True):  # no balance goes with these entries
        again = add_entry(db, session, "approval", refund["id"])
        back = add_entry(db, session, "refund", again)
        for kind, returns in (
            ("approval", None),
            ("refund", debit["id"]),
            ("approval", refund["id"]),
            ("refund", again),
        ):
            with pytest.raises(psycopg.errors.UniqueViolation), db.transaction():
                add_entry(db, session, kind, returns)
        assert add_entry(db, session, "approval", back)


@pytest.mark.parametrize(
    ("kind", "delta", "session_id", "returns_id"),
    [
        ("approval", -2, "00000000-0000-4000-8000-000000000000", None),
        ("approval", 1, "00000000-0000-4000-8000-000000000000", None),
        ("approval", -1, None, None),
        ("approval", -1, "00000000-0000-4000-8000-000000000000", 2**62),
        ("refund", 2, "00000000-0000-4000-8000-000000000000", 0),
        ("refund", 1, None, 0),
        ("refund", 1, "00000000-0000-4000-8000-000000000000", None),
        ("grant", 1, None, 0),
        ("gift", 1, None, None),
    ],
)
def test_an_entry_with_an_invalid_combination_is_refused(
    db: Connection, kind: str, delta: int, session_id: str | None, returns_id: int | None
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), db.transaction():
        db.execute(
            "insert into session_approval.credit_ledger"
            " (lot_id, user_id, session_id, kind, delta, returns_id, balance_after)"
            " values (gen_random_uuid(), gen_random_uuid(), %s, %s, %s, %s, 0)",
            (session_id, kind, delta, returns_id),
        )


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize(
    "statement",
    [
        "update session_approval.credit_ledger set delta = 9",
        "delete from session_approval.credit_ledger",
        "truncate session_approval.credit_ledger",
        "insert into session_approval.credit_ledger (lot_id, user_id, kind, delta, balance_after)"
        " values (gen_random_uuid(), gen_random_uuid(), 'grant', 9, 9)",
    ],
)
def test_only_the_owner_can_write_the_ledger(
    db: Connection, client: Person, role: str, statement: str
) -> None:
    give_credits(db, client)

    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        db.transaction(),
        act_as(db, client, role),
    ):
        db.execute(statement)


def test_a_lot_with_a_history_can_be_deleted_with_its_owner(db: Connection) -> None:
    person = add_person(db, "individual")
    give_credits(db, person, 3)

    db.execute("delete from public.user_credits where user_id = %s", (person.id,))
    db.execute("delete from public.users where id = %s", (person.id,))

    assert entries(db, person) == [("external", 3, 3), ("external", -3, 0)]


@pytest.mark.parametrize(
    "statement",
    [
        "update session_approval.credit_ledger set reason = 'x'",
        "delete from session_approval.credit_ledger",
        "truncate session_approval.credit_ledger",
    ],
)
def test_the_owner_can_change_the_ledger_only_with_the_switch(
    db: Connection, client: Person, statement: str
) -> None:
    give_credits(db, client, 3)
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"), db.transaction():
        db.execute(statement)
    assert entries(db, client) == [("external", 3, 3)]

    with db.transaction(force_rollback=True):
        db.execute("set local session_approval.allow_ledger_changes = 'on'")
        db.execute(statement)
    with pytest.raises(psycopg.errors.RestrictViolation), db.transaction():
        db.execute(statement)
