"""What waits for an answer: the caller's own, newest first, nothing that has expired."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    approve,
    call,
    call_as,
    change,
    contents,
    give_credits,
    propose,
)
from tests.conftest import Refused

PENDING = "list_pending_sessions"


def test_waiting_sessions_are_listed_newest_first_with_their_therapist(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    sessions = [propose(db, therapist, client) for _ in range(3)]
    for age, session in enumerate(sessions):
        change(db, "sessions", session["id"], created_at=now - timedelta(minutes=age))

    listed = call(db, client, PENDING)

    assert [row["id"] for row in listed] == [row["id"] for row in sessions]
    assert listed[0]["therapist"] == {
        "id": str(therapist.id),
        "full_name": therapist.full_name,
        "email": therapist.email,
    }
    assert {row["status"] for row in listed} == {"pending_approval"}


def test_sessions_proposed_at_the_same_moment_have_a_fixed_order(
    db: Connection, therapist: Person, client: Person
) -> None:
    sessions = [propose(db, therapist, client) for _ in range(5)]

    listed = [row["id"] for row in call(db, client, PENDING)]

    assert listed == sorted(row["id"] for row in sessions)


def test_a_person_does_not_see_the_waiting_sessions_of_another_client(
    db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    propose(db, therapist, client)

    assert call(db, stranger, PENDING) == []
    assert call(db, therapist, PENDING) == []


def test_a_decided_or_expired_session_is_not_listed(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    approve(db, client, propose(db, therapist, client))
    call(db, client, "decline_session", p_session_id=propose(db, therapist, client)["id"])
    call(db, therapist, "cancel_session", p_session_id=propose(db, therapist, client)["id"])
    expired = propose(db, therapist, client)
    change(db, "sessions", expired["id"], approval_expires_at="now")

    assert call(db, client, PENDING) == []


def test_a_waiting_session_without_a_time_to_answer_is_listed(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at=None, requires_approval=False)

    assert [row["id"] for row in call(db, client, PENDING)] == [session["id"]]


def test_listing_changes_nothing(db: Connection, therapist: Person, client: Person) -> None:
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="now")
    before = contents(db)

    call(db, client, PENDING)

    assert contents(db) == before


def test_a_caller_who_cannot_sign_in_sees_nothing(
    db: Connection, client: Person, refused: Refused
) -> None:
    change(db, "users", client.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        call(db, client, PENDING)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, PENDING)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, PENDING)


# Page by page.


def pages(db: Connection, client: Person, limit: int) -> list[list[UUID]]:
    """Return the ids of every page, as a frontend asks for them."""
    found: list[list[UUID]] = []
    arguments: dict[str, Any] = {"p_limit": limit}
    while True:
        page = call(db, client, PENDING, **arguments)
        found.append([row["id"] for row in page])
        assert len({row["beside"]["has_more"] for row in page}) == 1
        if not page[-1]["beside"]["has_more"]:
            return found
        arguments["p_before"] = page[-1]["id"]


@pytest.mark.parametrize("clock", ["one moment", "each its own", "none"])
def test_all_pages_together_are_the_whole_list(
    db: Connection, therapist: Person, client: Person, now: datetime, clock: str
) -> None:
    db.execute("alter table public.sessions alter created_at drop not null")
    sessions = [propose(db, therapist, client) for _ in range(5)]
    for age, session in enumerate(sessions):
        at = {"one moment": now, "each its own": now - timedelta(minutes=age), "none": None}[clock]
        change(db, "sessions", session["id"], created_at=at)
    whole = [row["id"] for row in call(db, client, PENDING)]
    assert len(whole) == 5

    for limit, lengths in ((1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (100, [5])):
        found = pages(db, client, limit)
        assert [len(page) for page in found] == lengths
        assert [session_id for page in found for session_id in page] == whole


def test_a_page_can_begin_after_a_session_that_has_been_answered(
    db: Connection, therapist: Person, client: Person
) -> None:
    for _ in range(3):
        propose(db, therapist, client)
    first, second, third = (row["id"] for row in call(db, client, PENDING))
    call(db, client, "decline_session", p_session_id=second)

    assert [row["id"] for row in call(db, client, PENDING, p_before=second)] == [third]
    assert [row["id"] for row in call(db, client, PENDING, p_before=first)] == [third]


def test_a_page_has_fifty_sessions_without_a_limit(
    db: Connection, therapist: Person, client: Person
) -> None:
    for _ in range(51):
        propose(db, therapist, client, p_is_instant=True)

    listed = call(db, client, PENDING)

    assert (len(listed), listed[0]["beside"]) == (50, {"has_more": True})


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"p_limit": 0}, "limit"),
        ({"p_limit": 101}, "limit"),
        ({"p_limit": None}, "limit"),
        ({"p_before": uuid4()}, "before"),
    ],
)
def test_an_invalid_page_is_refused(
    db: Connection, client: Person, refused: Refused, arguments: dict[str, Any], field: str
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        call(db, client, PENDING, **arguments)

    assert refusal.message == "The filter is not valid"
    assert refusal.details.keys() == {field}


def test_a_page_cannot_begin_after_a_session_of_another_person(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    session = propose(db, therapist, stranger)

    with refused(400, "VALIDATION_ERROR") as refusal:
        call(db, client, PENDING, p_before=session["id"])

    assert refusal.details == {"before": "must be the id of one of your sessions"}
