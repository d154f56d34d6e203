"""Granting: what was paid for arrives once, whoever repeats the message and however often."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Refused
from tests.people import (
    Connection,
    Person,
    Row,
    act_as,
    add_person,
    approve,
    balances,
    call_as,
    change,
    contents,
    give_credits,
    ledger,
    propose,
    row,
)

GRANT = "grant_credits"


def grant(db: Connection, client: Person, amount: int = 5, **arguments: Any) -> Row:
    """Grant credits as the server does, and return the answer."""
    payment = {"p_source": "stripe", "p_reference": "pi_1", **arguments}
    [answer] = call_as(
        db, "service_role", None, GRANT, p_user_id=client.id, p_amount=amount, **payment
    )
    return answer


def test_a_grant_makes_a_lot_and_says_what_can_be_spent(
    db: Connection, client: Person, now: datetime
) -> None:
    give_credits(db, client, 2)
    expires_at = now + timedelta(days=90)

    answer = grant(db, client, 5, p_expires_at=expires_at, p_reason="Ten for the price of nine")

    assert answer == {
        "lot_id": answer["lot_id"],
        "credits_granted": 5,
        "expires_at": expires_at,
        "credits_balance": 7,
        "already_granted": False,
    }
    lot = row(db, "user_credits", answer["lot_id"])
    assert (lot["user_id"], lot["credits_balance"], lot["expires_at"]) == (
        client.id,
        5,
        expires_at,
    )
    entry = ledger(db, client)[-1]
    assert (entry["kind"], entry["delta"], entry["lot_id"]) == ("grant", 5, answer["lot_id"])
    assert (entry["source"], entry["reference"]) == ("stripe", "pi_1")
    assert entry["reason"] == "Ten for the price of nine"


def test_granted_credits_pay(db: Connection, therapist: Person, client: Person) -> None:
    answer = grant(db, client, 1)

    session = approve(db, client, propose(db, therapist, client))

    assert row(db, "sessions", session["id"])["credit_lot_id"] == answer["lot_id"]


@pytest.mark.parametrize("user_type", ["individual", "user"])
def test_the_lot_is_named_after_the_clients_account(db: Connection, user_type: str) -> None:
    client = add_person(db, user_type)

    lot = row(db, "user_credits", grant(db, client)["lot_id"])

    assert lot["user_type"] == user_type


def test_the_same_payment_twice_is_one_grant(db: Connection, client: Person, now: datetime) -> None:
    first = grant(db, client, 5)
    before = contents(db)

    second = grant(
        db,
        client,
        5,
        p_source=" stripe ",
        p_expires_at=now + timedelta(days=9),
        p_reason="Once more",
    )

    assert second == {**first, "already_granted": True}
    assert contents(db) == before


def test_a_repeated_payment_shows_what_is_left_now(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = grant(db, client, 2)["lot_id"]
    approve(db, client, propose(db, therapist, client))

    assert grant(db, client, 2)["credits_balance"] == 1
    db.execute("delete from public.user_credits where id = %s", (lot,))
    again = grant(db, client, 2)
    assert (again["lot_id"], again["credits_balance"], again["expires_at"]) == (lot, 0, None)


@pytest.mark.parametrize(
    "other", [{"p_reference": "pi_2"}, {"p_source": "paypal"}], ids=["reference", "source"]
)
def test_another_payment_is_another_grant(
    db: Connection, client: Person, other: dict[str, str]
) -> None:
    first = grant(db, client, 5)
    second = grant(db, client, 5, **other)

    assert second["lot_id"] != first["lot_id"]
    assert balances(db, client) == [5, 5]


def test_a_reference_used_for_something_else_is_a_conflict(
    db: Connection, client: Person, stranger: Person, refused: Refused
) -> None:
    grant(db, client, 5)
    before = contents(db)

    for person, amount in ((client, 6), (stranger, 5)):
        with refused(422, "IDEMPOTENCY_CONFLICT") as refusal:
            grant(db, person, amount)
        assert refusal.message == "This reference was used for another grant"

    assert contents(db) == before


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"p_amount": 0}, "amount"),
        ({"p_amount": -5}, "amount"),
        ({"p_amount": None}, "amount"),
        ({"p_amount": 100001}, "amount"),
        ({"p_source": ""}, "source"),
        ({"p_source": None}, "source"),
        ({"p_reference": "  "}, "reference"),
        ({"p_reference": None}, "reference"),
        ({"p_reference": "x" * 201}, "reference"),
        ({"p_expires_at": "now"}, "expires_at"),
        (
            {"p_amount": 0, "p_source": "", "p_reference": "", "p_expires_at": "yesterday"},
            "amount source reference expires_at",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_every_wrong_field_is_named_at_once(
    db: Connection, client: Person, refused: Refused, arguments: dict[str, Any], fields: str
) -> None:
    given = {
        "p_user_id": client.id,
        "p_amount": 5,
        "p_source": "stripe",
        "p_reference": "pi_1",
        **arguments,
    }

    with refused(400, "VALIDATION_ERROR") as refusal:
        call_as(db, "service_role", None, GRANT, **given)

    assert set(refusal.details) == set(fields.split())
    assert balances(db, client) == []


def test_somebody_who_does_not_exist_gets_nothing(db: Connection, refused: Refused) -> None:
    with refused(404, "PERSON_NOT_FOUND"):
        grant(db, Person(uuid4(), "", "", ""))


def test_an_account_that_is_switched_off_is_credited_too(db: Connection, client: Person) -> None:
    change(db, "users", client.id, is_active=False)

    assert grant(db, client, 5)["credits_balance"] == 5


def test_only_the_server_grants(db: Connection, client: Person) -> None:
    for role in ("anon", "authenticated"):
        for schema in ("public", "session_approval"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                db.transaction(),
                act_as(db, None, role),
            ):
                db.execute(
                    f"select {schema}.grant_credits(%s, 5, 'x', 'y', null, null)", (client.id,)
                )
    assert balances(db, client) == []


# Where a client can have only one lot.


@pytest.fixture
def _one_lot_each(db: Connection) -> None:
    db.execute("create unique index one_lot_each on public.user_credits (user_id, user_type)")


@pytest.mark.usefixtures("_one_lot_each")
def test_where_a_client_can_have_only_one_lot_it_is_topped_up(
    db: Connection, client: Person, now: datetime
) -> None:
    lot = give_credits(db, client, 2, expires_at=now + timedelta(days=1))

    later = grant(db, client, 5, p_expires_at=now + timedelta(days=9))
    sooner = grant(db, client, 1, p_reference="pi_2", p_expires_at=now + timedelta(days=5))

    assert (later["lot_id"], later["credits_balance"]) == (lot, 7)
    assert sooner["expires_at"] == now + timedelta(days=9)
    assert balances(db, client) == [8]
    assert [(e["kind"], e["delta"]) for e in ledger(db, client)] == [
        ("external", 2),
        ("grant", 5),
        ("grant", 1),
    ]
    assert grant(db, client, 5) == {**later, "already_granted": True, "credits_balance": 8}


@pytest.mark.usefixtures("_one_lot_each")
def test_what_had_expired_in_the_only_lot_is_not_revived(
    db: Connection, client: Person, now: datetime
) -> None:
    lot = give_credits(db, client, 2, expires_at="yesterday")

    answer = grant(db, client, 5, p_expires_at=now + timedelta(days=9))

    assert (answer["lot_id"], answer["credits_balance"]) == (lot, 5)
    assert [(e["kind"], e["delta"]) for e in ledger(db, client)] == [
        ("external", 2),
        ("expiry", -2),
        ("grant", 5),
    ]


@pytest.mark.usefixtures("_one_lot_each")
def test_credits_that_never_expire_stay_so_in_the_only_lot(
    db: Connection, client: Person, now: datetime
) -> None:
    give_credits(db, client, 2)

    assert grant(db, client, 5, p_expires_at=now + timedelta(days=9))["expires_at"] is None
