"""Reconciling: silent while everything adds up, and exact about what does not."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    act_as,
    add_person,
    approve,
    balances,
    call,
    call_as,
    change,
    contents,
    give_credits,
    ledger,
    propose,
    read_in_storage_order,
    row,
)


def problems(db: Connection) -> list[tuple[Any, ...]]:
    """Return what does not add up: problem, lot, session, expected, found."""
    found = call_as(db, "service_role", None, "reconcile_credits")
    return sorted(
        (p["problem"], p["lot_id"], p["session_id"], p["expected"], p["found"]) for p in found
    )


@pytest.fixture
def _unrecorded(db: Connection) -> None:
    """Whatever is changed from here on leaves no row in the ledger, as before there was one."""
    db.execute("alter table public.user_credits disable trigger user")
    db.execute("alter table session_approval.credit_ledger disable trigger user")


def test_reconciling_finds_no_problem_after_normal_use(
    db: Connection, therapist: Person, client: Person
) -> None:
    lots = [give_credits(db, client, n) for n in (1, 2, 3)]
    kept, refunded, late = (approve(db, client, propose(db, therapist, client)) for _ in range(3))
    call(db, therapist, "cancel_session", p_session_id=refunded["id"])
    change(db, "sessions", late["id"], start_time="today", end_time="tomorrow")
    call(db, client, "cancel_session", p_session_id=late["id"])
    propose(db, therapist, client)
    change(db, "user_credits", lots[2], credits_balance=9, expires_at="yesterday")
    call_as(db, "service_role", None, "sweep_sessions")
    db.execute("delete from public.user_credits where id = %s", (lots[1],))
    db.execute("delete from public.sessions where id = %s", (kept["id"],))
    before = contents(db)

    assert problems(db) == []
    assert contents(db) == before


@pytest.mark.usefixtures("_unrecorded")
@pytest.mark.parametrize("balance", [3, 1])
def test_a_balance_that_changed_without_a_ledger_entry_is_reported(
    db: Connection, client: Person, balance: int
) -> None:
    lot = give_credits(db, client, balance)
    give_credits(db, client, 0)

    assert problems(db) == [("a balance differs from its ledger", lot, None, 0, balance)]


@pytest.mark.parametrize("left", [3, 1])
def test_a_lot_that_was_deleted_without_a_ledger_entry_is_reported(
    db: Connection, client: Person, request: pytest.FixtureRequest, left: int
) -> None:
    lot = give_credits(db, client, left)
    request.getfixturevalue("_unrecorded")
    db.execute("delete from public.user_credits")

    assert problems(db) == [("a lot is gone, and its ledger has credits left", lot, None, left, 0)]


def test_a_deleted_lot_is_reported_with_its_last_owner(
    db: Connection, client: Person, stranger: Person, request: pytest.FixtureRequest
) -> None:
    lot = give_credits(db, client, 3)
    change(db, "user_credits", lot, user_id=stranger.id)
    request.getfixturevalue("_unrecorded")
    db.execute("delete from public.user_credits")
    read_in_storage_order(db)

    [problem] = call_as(db, "service_role", None, "reconcile_credits")

    assert (problem["lot_id"], problem["user_id"]) == (lot, stranger.id)


def test_a_balance_below_zero_is_reported(db: Connection, client: Person) -> None:
    db.execute("alter table public.user_credits drop constraint credits_balance_is_not_negative")
    lot = give_credits(db, client, -2)

    assert problems(db) == [("a balance is negative", lot, None, 0, -2)]


def test_an_approval_without_a_debit_is_reported(
    db: Connection, therapist: Person, client: Person, request: pytest.FixtureRequest
) -> None:
    lot = give_credits(db, client, 3)
    session = approve(db, client, propose(db, therapist, client))
    request.getfixturevalue("_unrecorded")
    db.execute("delete from session_approval.credit_ledger where kind = 'approval'")
    db.execute("update public.user_credits set credits_balance = 3")

    assert problems(db) == [
        ("an approved session was not charged to the lot that it says", lot, session["id"], 1, 0)
    ]


def test_an_approval_that_an_operator_wrote_by_hand_is_reported(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], status="scheduled", approved_at="now", credit_lot_id=lot)

    assert problems(db) == [
        ("an approved session was not charged to the lot that it says", lot, session["id"], 1, 0)
    ]


def test_a_debit_on_a_lot_that_the_session_does_not_name_is_reported(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    other = give_credits(db, client, 3, expires_at=None, created_at="tomorrow")
    session = approve(db, client, propose(db, therapist, client))
    change(db, "sessions", session["id"], credit_lot_id=other)

    assert problems(db) == [
        ("a session was charged to a lot that it does not say", lot, session["id"], 0, 1),
        ("an approved session was not charged to the lot that it says", other, session["id"], 1, 0),
    ]


@pytest.mark.parametrize("same_lot", [True, False])
def test_a_session_that_was_charged_twice_is_reported(
    db: Connection,
    therapist: Person,
    client: Person,
    request: pytest.FixtureRequest,
    same_lot: bool,
) -> None:
    lot = give_credits(db, client, 3)
    other = lot if same_lot else give_credits(db, client, 3, created_at="tomorrow")
    session = approve(db, client, propose(db, therapist, client))
    request.getfixturevalue("_unrecorded")
    db.execute("drop index session_approval.credit_ledger_session_id_returns_id_idx")
    change(db, "user_credits", other, credits_balance=1 if same_lot else 2)
    db.execute(
        "insert into session_approval.credit_ledger"
        " (lot_id, user_id, session_id, kind, delta, balance_after)"
        " values (%s, %s, %s, 'approval', -1, 1)",
        (other, client.id, session["id"]),
    )

    expected = (
        ("a session was charged more than once", lot, session["id"], 1, 2)
        if same_lot
        else ("a session was charged to a lot that it does not say", other, session["id"], 0, 1)
    )
    assert problems(db) == [expected]


def test_a_refund_without_a_debit_is_reported(
    db: Connection, client: Person, request: pytest.FixtureRequest
) -> None:
    lot = give_credits(db, client, 3)
    session_id = uuid4()
    request.getfixturevalue("_unrecorded")
    change(db, "user_credits", lot, credits_balance=4)
    db.execute(
        "insert into session_approval.credit_ledger"
        " (lot_id, user_id, session_id, kind, delta, balance_after, returns_id)"
        " values (%s, %s, %s, 'refund', 1, 4, %s)",
        (lot, client.id, session_id, ledger(db, client)[0]["id"]),
    )

    assert problems(db) == [
        ("a session was refunded more often than charged", lot, session_id, 0, 1)
    ]


def test_a_refund_that_was_charged_again_is_not_reported(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    session = approve(db, client, propose(db, therapist, client))
    call(db, therapist, "cancel_session", p_session_id=session["id"])
    db.execute(
        "select session_approval.note_credit_entry(jsonb_build_object("
        "'kind', 'approval', 'session_id', session_id, 'returns_id', id))"
        " from session_approval.credit_ledger where kind = 'refund'"
    )
    change(db, "user_credits", lot, credits_balance=2)

    assert problems(db) == []
    [terms] = call(db, therapist, "cancel_session", p_session_id=session["id"])
    assert terms["beside"]["refunded"] is False


def test_a_session_approved_before_the_ledger_existed_is_not_reported(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    session = propose(db, therapist, client)
    change(
        db,
        "sessions",
        session["id"],
        status="scheduled",
        approved_at="2020-01-01",
        credit_lot_id=lot,
    )

    assert problems(db) == []
    assert balances(db, client) == [3]
    assert len(ledger(db, client)) == 1
    assert row(db, "sessions", session["id"])["status"] == "scheduled"


def test_only_the_server_reconciles(db: Connection) -> None:
    add_person(db, "individual")
    for role in ("anon", "authenticated"):
        for schema in ("public", "session_approval"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                db.transaction(),
                act_as(db, None, role),
            ):
                db.execute(f"select {schema}.reconcile_credits()")
