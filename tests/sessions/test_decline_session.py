"""Declining: the client says no, and nothing is paid."""

from datetime import datetime
from uuid import uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    add_person,
    approve,
    balances,
    call,
    call_as,
    change,
    contents,
    events,
    give_credits,
    ledger,
    propose,
    row,
)
from tests.conftest import Refused

DECLINE = "decline_session"


def test_a_declined_proposal_is_cancelled_and_costs_nothing(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    give_credits(db, client, 2)
    session = propose(db, therapist, client)
    entries = len(ledger(db, client))

    [declined] = call(
        db, client, DECLINE, p_session_id=session["id"], p_reason="  I am away that day "
    )

    assert (declined["status"], declined["cancellation_reason"]) == ("cancelled", "declined")
    assert (declined["cancelled_by"], declined["cancelled_at"]) == (str(client.id), now)
    assert (declined["beside"]["refunded"], declined["beside"]["message"]) == (
        False,
        "Session declined.",
    )
    assert balances(db, client) == [2]
    assert len(ledger(db, client)) == entries
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("pending_approval", "cancelled")
    assert (latest["actor_id"], latest["reason"]) == (client.id, "I am away that day")


def test_a_reason_is_optional(db: Connection, therapist: Person, client: Person) -> None:
    for reason in ({}, {"p_reason": None}, {"p_reason": "   "}):
        session = propose(db, therapist, client)
        call(db, client, DECLINE, p_session_id=session["id"], **reason)
        assert events(db, session)[-1]["reason"] is None


def test_declining_again_gives_the_same_answer_and_changes_nothing(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)
    first = call(db, client, DECLINE, p_session_id=session["id"], p_reason="No")
    before = contents(db)

    second = call(db, client, DECLINE, p_session_id=session["id"], p_reason="Still no")

    assert second == first
    assert contents(db) == before


def test_a_declined_instant_proposal_leaves_its_room_to_be_removed(
    db: Connection, therapist: Person, client: Person
) -> None:
    rooms = {}
    for is_instant in (True, False):
        session = propose(db, therapist, client, p_is_instant=is_instant)
        [declined] = call(db, client, DECLINE, p_session_id=session["id"])
        rooms[is_instant] = declined["beside"]["room"] and declined["beside"]["room"]["name"] == (
            f"s-{session['id'].hex}"
        )

    assert rooms == {True: True, False: None}


def test_only_the_client_can_decline_a_session_and_others_get_not_found(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)

    said = []
    for person, session_id in [
        (stranger, session["id"]),
        (therapist, session["id"]),
        (client, uuid4()),
        (client, None),
    ]:
        with refused(404, "SESSION_NOT_FOUND") as refusal:
            call(db, person, DECLINE, p_session_id=session_id)
        said.append((refusal.message, refusal.details))

    assert said == [("Session not found or not pending approval", None)] * 4


def test_an_approved_session_is_cancelled_not_declined(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    approve(db, client, session)

    with refused(409, "SESSION_NOT_PENDING") as refusal:
        call(db, client, DECLINE, p_session_id=session["id"])

    assert refusal.message == "Session not found or not pending approval"
    assert refusal.details == {"status": "scheduled", "cancellation_reason": None}


def test_a_live_session_with_an_old_reason_does_not_count_as_declined(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)
    call(db, client, DECLINE, p_session_id=session["id"])
    change(db, "sessions", session["id"], status="scheduled")

    with refused(409, "SESSION_NOT_PENDING") as refusal:
        call(db, client, DECLINE, p_session_id=session["id"])

    assert refusal.details == {"status": "scheduled", "cancellation_reason": "declined"}


def test_a_withdrawn_proposal_cannot_be_declined(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)
    call(db, therapist, "cancel_session", p_session_id=session["id"])

    with refused(409, "SESSION_NOT_PENDING") as refusal:
        call(db, client, DECLINE, p_session_id=session["id"])

    assert refusal.details == {"status": "cancelled", "cancellation_reason": "withdrawn"}


def test_a_session_that_the_old_code_cancelled_does_not_count_as_declined(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)

    for how in ({"status": "cancelled"}, {"cancellation_reason": "declined"}):
        change(db, "sessions", session["id"], **how)
        with refused(409, "SESSION_NOT_PENDING") as refusal:
            call(db, client, DECLINE, p_session_id=session["id"])
        assert refusal.details["status"] == "cancelled"


def test_a_session_that_its_client_cancelled_does_not_count_as_declined(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    approve(db, client, session)
    call(db, client, "cancel_session", p_session_id=session["id"])

    with refused(409, "SESSION_NOT_PENDING") as refusal:
        call(db, client, DECLINE, p_session_id=session["id"])

    assert refusal.details == {"status": "cancelled", "cancellation_reason": "cancelled_by_client"}


def test_an_expired_proposal_cannot_be_declined_before_or_after_the_sweep(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="now")

    with refused(410, "SESSION_EXPIRED") as refusal:
        call(db, client, DECLINE, p_session_id=session["id"])
    assert set(refusal.details) == {"approval_expires_at"}

    change(db, "sessions", session["id"], status="cancelled", cancellation_reason="expired")
    with refused(410, "SESSION_EXPIRED"):
        call(db, client, DECLINE, p_session_id=session["id"])


def test_a_reason_has_at_most_1000_characters(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)

    with refused(400, "VALIDATION_ERROR") as refusal:
        call(db, client, DECLINE, p_session_id=session["id"], p_reason="x" * 1001)
    assert refusal.details == {"reason": "must be at most 1000 characters"}
    assert row(db, "sessions", session["id"])["status"] == "pending_approval"

    call(db, client, DECLINE, p_session_id=session["id"], p_reason="x" * 1000)


def test_a_caller_who_cannot_sign_in_cannot_decline(
    db: Connection, therapist: Person, refused: Refused
) -> None:
    client = add_person(db, "individual")
    session = propose(db, therapist, client)
    change(db, "users", client.id, is_active=False)
    arguments = {"p_session_id": session["id"]}

    with refused(403, "AUTHORIZATION_ERROR"):
        call(db, client, DECLINE, **arguments)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, DECLINE, **arguments)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, DECLINE, **arguments)
