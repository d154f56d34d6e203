"""Granting: what was paid for arrives once, whoever repeats the message and however often."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests import actors
from tests.actors import (
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
    never_read_whole,
    overtaken,
    propose,
    row,
    three_connections,
)
from tests.conftest import Refused

GRANT = "grant_credits"


def grant(db: Connection, client: Person, amount: int | None = 5, **arguments: Any) -> Row:
    """Grant credits as the server does, and return the answer."""
    payment = {"p_source": "stripe", "p_reference": "pi_1", **arguments}
    [answer] = call_as(
        db, "service_role", None, GRANT, p_user_id=client.id, p_amount=amount, **payment
    )
    return answer


def test_a_grant_makes_a_lot_and_returns_the_spendable_balance(
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


def test_a_payment_is_found_without_reading_the_whole_ledger(
    db: Connection, client: Person
) -> None:
    grant(db, client)

    with never_read_whole(db, "session_approval.credit_ledger"):
        assert grant(db, client)["already_granted"]


def test_a_repeated_payment_shows_the_current_balance(
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

    for person, amount in ((client, 6), (stranger, 5), (client, None)):
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
        ({"p_source": "x" * 201}, "source"),
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


@pytest.mark.parametrize("length", [1, 200])
def test_a_payments_source_and_reference_have_up_to_200_letters(
    db: Connection, client: Person, length: int
) -> None:
    names = {"p_source": "s" * length, "p_reference": "r" * length}

    assert grant(db, client, 5, **names)["credits_balance"] == 5


def test_a_person_who_does_not_exist_gets_no_credits(db: Connection, refused: Refused) -> None:
    with refused(404, "PERSON_NOT_FOUND"):
        grant(db, Person(uuid4(), "", "", ""))


def test_an_inactive_account_also_gets_credits(db: Connection, client: Person) -> None:
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


# Installations where a client can have only one lot.


@pytest.fixture
def _one_lot_each(db: Connection) -> None:
    db.execute("create unique index one_lot_each on public.user_credits (user_id, user_type)")


@pytest.mark.usefixtures("_one_lot_each")
def test_a_grant_tops_up_the_only_lot_that_a_client_can_have(
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
def test_expired_credits_in_the_only_lot_stay_expired(
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
def test_an_only_lot_that_never_expires_keeps_no_expiry_after_a_grant(
    db: Connection, client: Person, now: datetime
) -> None:
    give_credits(db, client, 2)

    assert grant(db, client, 5, p_expires_at=now + timedelta(days=9))["expires_at"] is None


@pytest.mark.usefixtures("_one_lot_each")
@pytest.mark.parametrize("expires_at", [None, "yesterday"])
def test_a_grant_first_covers_a_balance_below_zero_in_the_only_lot(
    db: Connection, client: Person, expires_at: str | None
) -> None:
    db.execute("alter table public.user_credits drop constraint credits_balance_is_not_negative")
    give_credits(db, client, -3, expires_at=expires_at)

    assert grant(db, client, 5)["credits_balance"] == 2
    assert balances(db, client) == [2]


@pytest.mark.usefixtures("_one_lot_each")
def test_a_grant_makes_an_inactive_only_lot_spendable_again(db: Connection, client: Person) -> None:
    change(db, "user_credits", give_credits(db, client, 2), status="inactive")

    assert grant(db, client, 5)["credits_balance"] == 7


@pytest.mark.usefixtures("_one_lot_each")
def test_an_only_lot_with_an_empty_balance_takes_the_grant(db: Connection, client: Person) -> None:
    db.execute("alter table public.user_credits alter credits_balance drop not null")
    lot = give_credits(db, client)
    change(db, "user_credits", lot, credits_balance=None)

    assert grant(db, client, 5)["credits_balance"] == 5
    assert ledger(db, client)[-1]["balance_after"] == 5


@pytest.mark.usefixtures("_one_lot_each")
@pytest.mark.parametrize("kind", ["individual", "user"])
@pytest.mark.parametrize("status", ["active", None])
def test_a_grant_tops_up_the_lot_that_has_the_persons_type(
    db: Connection, client: Person, kind: str, status: str | None
) -> None:
    db.execute("alter table public.user_credits alter status drop not null")
    change(db, "users", client.id, user_type=kind)
    lots = {}
    for name in ("user", "individual"):
        lots[name] = give_credits(db, client, 2)
        change(db, "user_credits", lots[name], user_type=name)
        if name != kind:
            change(db, "user_credits", lots[name], status=status)

    assert grant(db, client, 5)["lot_id"] == lots[kind]


def test_a_grant_tops_up_the_one_lot_of_a_person_even_with_another_type(
    db: Connection, client: Person
) -> None:
    db.execute("create unique index one_lot_each on public.user_credits (user_id)")
    lot = give_credits(db, client, 2)
    change(db, "user_credits", lot, user_type="user")

    answer = grant(db, client, 5)

    assert (answer["lot_id"], answer["credits_balance"]) == (lot, 7)


def test_a_grant_tops_up_the_only_lot_that_may_be_active(db: Connection, client: Person) -> None:
    db.execute(
        "create unique index one_active_lot_each on public.user_credits (user_id)"
        " where status = 'active'"
    )
    for balance in (1, 2, 3):
        change(db, "user_credits", give_credits(db, client, balance), status="used")
    active = give_credits(db, client, 4)

    assert grant(db, client, 5)["lot_id"] == active
    assert sum(balances(db, client)) == 15


def test_a_grant_fails_if_a_lot_of_another_kind_blocks_it(db: Connection, client: Person) -> None:
    db.execute("create unique index one_lot_each on public.user_credits (user_id)")
    change(db, "user_credits", give_credits(db, client, 2), user_type="partner")
    before = contents(db)

    with pytest.raises(psycopg.errors.UniqueViolation, match="none to top up"), db.transaction():
        grant(db, client, 5)

    assert contents(db) == before


# Installations whose checks allow fewer types.


@pytest.mark.parametrize("one_lot_each", [False, True])
@pytest.mark.parametrize("account", ["individual", "user"])
@pytest.mark.parametrize("known", ["individual", "user"])
def test_a_lot_gets_the_type_that_the_installation_allows(
    db: Connection, known: str, account: str, one_lot_each: bool
) -> None:
    db.execute(
        f"alter table public.user_credits add constraint kind check (user_type in ('{known}', 'x'))"
    )
    if one_lot_each:
        db.execute("create unique index one_lot_each on public.user_credits (user_id, user_type)")
    person = add_person(db, account)

    first, second = grant(db, person, 5), grant(db, person, 2, p_reference="pi_2")

    assert row(db, "user_credits", first["lot_id"])["user_type"] == known
    assert second["credits_balance"] == 7
    assert len(balances(db, person)) == (1 if one_lot_each else 2)


def test_a_grant_that_breaks_another_check_fails(db: Connection, client: Person) -> None:
    db.execute("alter table public.user_credits add constraint small check (credits_balance <= 9)")
    give_credits(db, client, 1)
    before = contents(db)

    with pytest.raises(psycopg.errors.CheckViolation, match="small"), db.transaction():
        grant(db, client, 10)

    assert contents(db) == before


# At the same time.


def meet(
    address: str,
    first: Callable[[Connection], Any],
    second: Callable[[Connection], Any],
    *,
    commits: bool = True,
) -> tuple[Any, Any]:
    """Do two things of which the second has to wait until the first commits or rolls back."""
    with three_connections(address) as (owner, ahead, behind):
        ahead.execute("select")
        answer = first(ahead)
        return answer, overtaken(owner, ahead, behind, second, commits=commits).result()


@pytest.fixture
def buyer(own_database: str) -> Person:
    """A client in a database of their own."""
    with actors.connect(own_database) as db:
        return add_person(db, "individual")


def entries(address: str, client: Person) -> list[tuple[str, int]]:
    """Return kind and credits of a client's ledger, oldest first."""
    with actors.connect(address) as db:
        return [(entry["kind"], entry["delta"]) for entry in ledger(db, client)]


def test_one_payment_sent_twice_at_once_is_one_grant(own_database: str, buyer: Person) -> None:
    first, second = meet(own_database, lambda db: grant(db, buyer), lambda db: grant(db, buyer))

    assert second == {**first, "already_granted": True}
    assert entries(own_database, buyer) == [("grant", 5)]


def test_a_payment_is_granted_by_the_second_message_if_the_first_fails(
    own_database: str, buyer: Person
) -> None:
    _, second = meet(
        own_database,
        lambda db: grant(db, buyer),
        lambda db: grant(db, buyer),
        commits=False,
    )

    assert second["already_granted"] is False
    assert entries(own_database, buyer) == [("grant", 5)]


def test_one_reference_for_two_amounts_at_once_grants_the_first(
    own_database: str, buyer: Person
) -> None:
    with pytest.raises(psycopg.Error) as refused:
        meet(own_database, lambda db: grant(db, buyer, 5), lambda db: grant(db, buyer, 6))

    assert refused.value.diag.message_hint == "IDEMPOTENCY_CONFLICT"
    assert entries(own_database, buyer) == [("grant", 5)]


def test_two_payments_at_once_both_reach_the_only_lot(own_database: str, buyer: Person) -> None:
    with actors.connect(own_database) as db:
        db.execute("create unique index one_lot_each on public.user_credits (user_id, user_type)")

    _, second = meet(
        own_database,
        lambda db: grant(db, buyer, 5),
        lambda db: grant(db, buyer, 2, p_reference="pi_2"),
    )

    assert second["credits_balance"] == 7
    assert entries(own_database, buyer) == [("grant", 5), ("grant", 2)]


def test_a_top_up_and_an_approval_of_one_lot_at_once_are_both_counted(
    own_database: str, buyer: Person
) -> None:
    with actors.connect(own_database) as db:
        db.execute("create unique index one_lot_each on public.user_credits (user_id, user_type)")
        give_credits(db, buyer, 1)
        session = propose(db, add_person(db, "therapist"), buyer)

    approved, granted = meet(
        own_database,
        lambda db: approve(db, buyer, session),
        lambda db: grant(db, buyer, 5),
    )

    assert (approved["beside"]["credits_balance_after"], granted["credits_balance"]) == (0, 5)
    assert entries(own_database, buyer) == [("external", 1), ("approval", -1), ("grant", 5)]
