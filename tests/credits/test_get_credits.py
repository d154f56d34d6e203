"""What a client sees of their credits: the balance that an approval would see, lots and history."""

from datetime import datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    Row,
    approve,
    call,
    call_as,
    change,
    configure,
    contents,
    give_credits,
    ledger,
    propose,
    read_in_storage_order,
)
from tests.conftest import Refused

CREDITS = "get_credits"


def credits(db: Connection, person: Person) -> Row:
    """Return what a person sees of their credits."""
    [found] = call(db, person, CREDITS)
    return found


def test_a_client_without_credits_sees_a_balance_of_zero(db: Connection, client: Person) -> None:
    assert credits(db, client) == {
        "credits_balance": 0,
        "total_credits": 0,
        "active_credits": 0,
        "credits_low": True,
        "lots": [],
        "history": [],
        "has_more": False,
    }


def test_the_balance_is_the_one_that_an_approval_uses(
    db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    give_credits(db, client, 2)
    give_credits(db, client, 1, expires_at="tomorrow")
    give_credits(db, client, 4, expires_at="yesterday")
    change(db, "user_credits", give_credits(db, client, 8), status="inactive")
    change(db, "user_credits", give_credits(db, client, 16), user_type="partner")
    give_credits(db, stranger, 32)

    found = credits(db, client)

    assert (found["credits_balance"], found["active_credits"]) == (3, 3)
    assert found["total_credits"] == 31
    approved = approve(db, client, propose(db, therapist, client))
    assert approved["beside"]["credits_balance_after"] == 2
    assert credits(db, client)["credits_balance"] == 2


def test_lots_are_shown_in_the_order_in_which_they_pay(
    db: Connection, client: Person, now: datetime
) -> None:
    never = give_credits(db, client, 1, created_at=now - timedelta(days=9))
    old = give_credits(
        db, client, 2, expires_at=now + timedelta(days=5), created_at=now - timedelta(days=2)
    )
    young = give_credits(db, client, 3, expires_at=now + timedelta(days=5), created_at=now)
    gone = give_credits(db, client, 4, expires_at=now, created_at=now - timedelta(days=9))
    give_credits(db, client, 0)

    lots = credits(db, client)["lots"]

    assert [lot["id"] for lot in lots] == [str(lot) for lot in (gone, old, young, never)]
    assert [lot["credits_balance"] for lot in lots] == [4, 2, 3, 1]
    assert [lot["is_spendable"] for lot in lots] == [False, True, True, True]
    assert datetime.fromisoformat(lots[1]["expires_at"]) == now + timedelta(days=5)
    assert lots[3]["expires_at"] is None
    assert datetime.fromisoformat(lots[3]["created_at"]) == now - timedelta(days=9)


def test_the_history_lists_every_change_newest_first_with_the_session_title(
    db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    lot = give_credits(db, client, 2)
    give_credits(db, stranger, 5)
    session = approve(db, client, propose(db, therapist, client, p_title="First steps"))
    call(db, therapist, "cancel_session", p_session_id=session["id"])

    history = credits(db, client)["history"]

    assert [(e["kind"], e["delta"], e["balance_after"]) for e in history] == [
        ("refund", 1, 2),
        ("approval", -1, 1),
        ("external", 2, 2),
    ]
    assert {entry["lot_id"] for entry in history} == {str(lot)}
    assert [entry["session_title"] for entry in history] == ["First steps", "First steps", None]
    assert history[0]["session_id"] == str(session["id"])
    assert all(entry["created_at"] for entry in history)


def test_the_history_stays_after_its_lot_and_session_are_deleted(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 2)
    session = approve(db, client, propose(db, therapist, client, p_title="First steps"))
    db.execute("delete from public.user_credits where id = %s", (lot,))
    db.execute("delete from public.sessions where id = %s", (session["id"],))

    found = credits(db, client)

    assert (found["credits_balance"], found["lots"]) == (0, [])
    assert [(e["kind"], e["session_title"]) for e in found["history"]] == [
        ("external", None),
        ("approval", None),
        ("external", None),
    ]


def test_the_history_shows_the_latest_hundred_changes(db: Connection, client: Person) -> None:
    lot = give_credits(db, client, 0)
    for balance in range(1, 121):
        change(db, "user_credits", lot, credits_balance=balance)

    read_in_storage_order(db)

    history = credits(db, client)["history"]

    assert [entry["balance_after"] for entry in history] == list(range(120, 20, -1))


@pytest.mark.parametrize(("balance", "is_low"), [(0, True), (2, True), (3, False)])
def test_a_balance_is_low_by_the_setting_of_the_installation(
    db: Connection, client: Person, balance: int, is_low: bool
) -> None:
    configure(db, low_balance=2)
    give_credits(db, client, balance)

    assert credits(db, client)["credits_low"] is is_low


def test_reading_the_credits_changes_nothing(db: Connection, client: Person) -> None:
    give_credits(db, client, 4, expires_at="yesterday")
    before = contents(db)

    credits(db, client)

    assert contents(db) == before


def test_a_person_who_cannot_sign_in_sees_no_credits(
    db: Connection, client: Person, refused: Refused
) -> None:
    change(db, "users", client.id, is_active=False)

    for person in (client, Person(uuid4(), "", "", "")):
        with refused(403, "AUTHORIZATION_ERROR"):
            credits(db, person)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, CREDITS)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, CREDITS)


def test_the_pages_together_contain_the_whole_history(db: Connection, client: Person) -> None:
    lot = give_credits(db, client, 1000)
    for balance in range(999, 999 - 249, -1):
        change(db, "user_credits", lot, credits_balance=balance)

    found: list[int] = []
    lengths: list[int] = []
    before, more = None, True
    while more:
        [page] = call(db, client, CREDITS, p_before=before)
        more, before = page["has_more"], page["history"][-1]["id"]
        lengths.append(len(page["history"]))
        found += [entry["id"] for entry in page["history"]]
        assert (page["credits_balance"], len(page["lots"])) == (751, 1)

    assert lengths == [100, 100, 50]
    assert found == [entry["id"] for entry in reversed(ledger(db, client))]


def test_a_hundred_changes_are_one_page(db: Connection, client: Person) -> None:
    lot = give_credits(db, client, 1000)
    for balance in range(999, 900, -1):
        change(db, "user_credits", lot, credits_balance=balance)

    [page] = call(db, client, CREDITS)

    assert (len(page["history"]), page["has_more"]) == (100, False)
    assert page["history"][0].keys() == {
        *("id", "kind", "delta", "balance_after", "lot_id", "session_id", "session_title"),
        *("reason", "created_at"),
    }


def test_a_page_that_starts_at_an_entry_of_another_person_shows_only_own_entries(
    db: Connection, client: Person, stranger: Person
) -> None:
    give_credits(db, client)
    give_credits(db, stranger)
    [theirs] = ledger(db, stranger)

    [page] = call(db, client, CREDITS, p_before=theirs["id"])

    assert [entry["id"] for entry in page["history"]] == [
        entry["id"] for entry in ledger(db, client)
    ]
    assert call(db, client, CREDITS, p_before=0)[0]["history"] == []
