"""Correcting: an operator changes a lot, says why, and never takes it below zero."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    Row,
    act_as,
    add_person,
    approve,
    call_as,
    change,
    contents,
    give_credits,
    ledger,
    overtaken,
    propose,
    row,
    three_connections,
)
from tests.conftest import Refused

ADJUST = "adjust_credits"


@pytest.fixture
def lot(db: Connection, client: Person) -> UUID:
    """A lot of three credits."""
    return give_credits(db, client, 3)


@pytest.fixture
def operator(db: Connection) -> Person:
    """Somebody who answers for a correction."""
    return add_person(db, "partner")


def adjust(
    db: Connection, lot_id: UUID | None, operator: Person, delta: int, reason: str = "x"
) -> Row:
    """Correct a lot as the server does for an operator, and return the answer."""
    [answer] = call_as(
        db,
        "service_role",
        None,
        ADJUST,
        p_lot_id=lot_id,
        p_delta=delta,
        p_reason=reason,
        p_actor_id=operator.id,
    )
    return answer


@pytest.mark.parametrize(("delta", "left"), [(2, 5), (-1, 2), (-3, 0)])
def test_a_correction_leaves_a_row_with_its_reason_and_its_operator(
    db: Connection, client: Person, lot: UUID, operator: Person, delta: int, left: int
) -> None:
    answer = adjust(db, lot, operator, delta, "Charged twice in May")

    assert answer == {"lot_id": lot, "user_id": client.id, "credits_balance": left}
    assert row(db, "user_credits", lot)["credits_balance"] == left
    entry = ledger(db, client)[-1]
    assert (entry["delta"], entry["balance_after"]) == (delta, left)
    assert (entry["reason"], entry["actor_id"]) == ("Charged twice in May", operator.id)


def test_a_correction_never_takes_a_lot_below_zero(
    db: Connection, lot: UUID, operator: Person, refused: Refused
) -> None:
    before = contents(db)

    with refused(409, "CREDITS_BELOW_ZERO") as refusal:
        adjust(db, lot, operator, -4)

    assert refusal.details == {"credits_balance": 3}
    assert contents(db) == before


def test_an_old_lot_below_zero_can_be_raised(
    db: Connection, client: Person, lot: UUID, operator: Person
) -> None:
    db.execute("alter table public.user_credits drop constraint credits_balance_is_not_negative")
    db.execute("update public.user_credits set credits_balance = -5 where id = %s", (lot,))

    answer = adjust(db, lot, operator, 2)

    assert answer["credits_balance"] == -3
    assert ledger(db, client)[-1]["balance_after"] == -3


def test_an_empty_balance_counts_as_zero(
    db: Connection, lot: UUID, operator: Person, refused: Refused
) -> None:
    db.execute("alter table public.user_credits alter column credits_balance drop not null")
    change(db, "user_credits", lot, credits_balance=None)

    with refused(409, "CREDITS_BELOW_ZERO") as refusal:
        adjust(db, lot, operator, -1)

    assert refusal.details == {"credits_balance": 0}


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"p_delta": 0}, "delta"),
        ({"p_delta": None}, "delta"),
        ({"p_reason": " "}, "reason"),
        ({"p_reason": None}, "reason"),
        ({"p_reason": "x" * 1001}, "reason"),
        ({"p_actor_id": None}, "actor_id"),
        ({"p_actor_id": UUID(int=1)}, "actor_id"),
        ({"p_delta": 0, "p_reason": "", "p_actor_id": None}, "delta reason actor_id"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_every_wrong_field_is_named_at_once(
    db: Connection,
    lot: UUID,
    operator: Person,
    refused: Refused,
    arguments: dict[str, Any],
    fields: str,
) -> None:
    given = {
        "p_lot_id": lot,
        "p_delta": 1,
        "p_reason": "x",
        "p_actor_id": operator.id,
        **arguments,
    }

    with refused(400, "VALIDATION_ERROR") as refusal:
        call_as(db, "service_role", None, ADJUST, **given)

    assert set(refusal.details) == set(fields.split())
    assert row(db, "user_credits", lot)["credits_balance"] == 3


def test_a_lot_that_does_not_exist_is_not_found(
    db: Connection, operator: Person, refused: Refused
) -> None:
    for lot_id in (uuid4(), None):
        with refused(404, "LOT_NOT_FOUND"):
            adjust(db, lot_id, operator, 1)


def test_only_the_server_corrects(db: Connection, lot: UUID, operator: Person) -> None:
    for role in ("anon", "authenticated"):
        for schema in ("public", "session_approval"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                db.transaction(),
                act_as(db, None, role),
            ):
                db.execute(f"select {schema}.adjust_credits(%s, 1, 'x', %s)", (lot, operator.id))


def test_a_correction_waits_for_an_approval_under_way_and_counts_its_credit(
    own_database: str,
) -> None:
    with three_connections(own_database) as (db, first, second):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        lot = give_credits(db, client, 3)
        session = propose(db, therapist, client)
        first.execute("select")
        approve(first, client, session)

        answer = overtaken(
            db, first, second, lambda db: adjust(db, lot, therapist, -1, "Given by mistake")
        )

        assert answer.result()["credits_balance"] == 1
        assert [entry["balance_after"] for entry in ledger(db, client)] == [3, 2, 1]
