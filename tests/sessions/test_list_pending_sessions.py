"""What waits for an answer: the caller's own, newest first, nothing that has expired."""

from datetime import datetime, timedelta

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


def test_what_waits_is_listed_newest_first_with_its_therapist(
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


def test_sessions_proposed_at_one_moment_are_listed_in_one_order(
    db: Connection, therapist: Person, client: Person
) -> None:
    sessions = [propose(db, therapist, client) for _ in range(5)]

    listed = [row["id"] for row in call(db, client, PENDING)]

    assert listed == sorted(row["id"] for row in sessions)


def test_nobody_sees_what_waits_for_somebody_else(
    db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    propose(db, therapist, client)

    assert call(db, stranger, PENDING) == []
    assert call(db, therapist, PENDING) == []


def test_what_is_decided_or_expired_no_longer_waits(
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


def test_who_cannot_sign_in_sees_nothing(db: Connection, client: Person, refused: Refused) -> None:
    change(db, "users", client.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        call(db, client, PENDING)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, PENDING)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, PENDING)
