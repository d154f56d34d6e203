"""The preview of a cancellation: it tells what the cancellation will do, and changes nothing."""

from datetime import datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    Row,
    add_person,
    approve,
    call,
    call_as,
    change,
    configure,
    contents,
    give_credits,
    never_read_whole,
    propose,
)
from tests.conftest import Refused

PREVIEW = "preview_cancellation"
GIVEN_BACK = ("You get your credit back.", "The client gets the credit back.")


@pytest.fixture
def session(db: Connection, therapist: Person, client: Person, now: datetime) -> Row:
    """An approved session, three days ahead, that took one credit."""
    give_credits(db, client, 3)
    return approve(db, client, propose(db, therapist, client, p_start_time=now + timedelta(days=3)))


def preview(db: Connection, person: Person, session: Row) -> Row:
    """Ask what cancelling would mean."""
    [terms] = call(db, person, PREVIEW, p_session_id=session["id"])
    return terms


def test_a_client_who_cancels_in_time_gets_the_credit_back(
    db: Connection, client: Person, session: Row
) -> None:
    configure(db, free_cancel_window="36 hours")
    before = contents(db)

    assert preview(db, client, session) == {
        "refundable": True,
        "free_until": session["start_time"] - timedelta(hours=36),
        "reason": "You get your credit back.",
    }
    assert contents(db) == before


def test_a_client_who_cancels_too_late_does_not_get_the_credit_back(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], start_time=now + timedelta(hours=23))

    assert preview(db, client, session) == {
        "refundable": False,
        "free_until": now - timedelta(hours=1),
        "reason": "It is too late for a refund: the credit stays spent.",
    }


def test_a_therapist_who_cancels_always_gives_the_credit_back(
    db: Connection, therapist: Person, session: Row, now: datetime
) -> None:
    for start in (now + timedelta(days=3), now + timedelta(hours=1), now):
        change(db, "sessions", session["id"], start_time=start)
        assert preview(db, therapist, session) == {
            "refundable": True,
            "free_until": None,
            "reason": "The client gets the credit back.",
        }


def test_a_proposal_that_waits_has_taken_no_credit(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)

    for person in (client, therapist):
        assert preview(db, person, session) == {
            "refundable": False,
            "free_until": None,
            "reason": "No credit was taken for this session.",
        }


@pytest.mark.parametrize("status", ["in_progress", "completed", "no_show", "cancelled"])
def test_a_session_that_can_no_longer_be_cancelled_refunds_nothing(
    db: Connection, therapist: Person, client: Person, session: Row, status: str
) -> None:
    change(db, "sessions", session["id"], status=status)

    for person in (client, therapist):
        assert preview(db, person, session) == {
            "refundable": False,
            "free_until": None,
            "reason": "This session can no longer be cancelled.",
        }


def test_a_session_whose_time_has_passed_refunds_nothing(
    db: Connection, therapist: Person, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], start_time=now - timedelta(hours=1), end_time=now)

    assert preview(db, therapist, session)["refundable"] is False


def test_a_sessions_payment_is_found_without_reading_the_whole_ledger(
    db: Connection, client: Person, session: Row
) -> None:
    with never_read_whole(db, "session_approval.credit_ledger"):
        assert preview(db, client, session)["refundable"]


@pytest.mark.parametrize("who", ["client", "therapist"])
@pytest.mark.parametrize(
    "hours", [-2, -0.5, 0, 1, 23.999999, 24, 24.000001, 48], ids=lambda h: f"in {h} hours"
)
def test_the_preview_and_the_cancellation_agree_at_every_instant(
    db: Connection,
    therapist: Person,
    client: Person,
    session: Row,
    now: datetime,
    who: str,
    hours: float,
) -> None:
    person = {"client": client, "therapist": therapist}[who]
    start = now + timedelta(hours=hours)
    change(db, "sessions", session["id"], start_time=start, end_time=start + timedelta(hours=1))

    terms = preview(db, person, session)

    try:
        with db.transaction():
            [cancelled] = call(db, person, "cancel_session", p_session_id=session["id"])
            refunded = cancelled["beside"]["refunded"]
    except psycopg.Error as error:
        assert error.sqlstate == "PT409"  # noqa: PT017 - a refusal is an answer here
        refunded = False
    assert terms["refundable"] is refunded
    assert refunded is (terms["reason"] in GIVEN_BACK)


def test_other_people_cannot_ask_and_do_not_learn_that_the_session_exists(
    db: Connection, client: Person, session: Row, stranger: Person, refused: Refused
) -> None:
    for person, session_id in [
        (stranger, session["id"]),
        (add_person(db, "therapist"), session["id"]),
        (client, uuid4()),
        (client, None),
    ]:
        with refused(404, "SESSION_NOT_FOUND") as refusal:
            call(db, person, PREVIEW, p_session_id=session_id)
        assert (refusal.message, refusal.details) == ("Session not found", None)


def test_a_caller_who_cannot_sign_in_cannot_ask(
    db: Connection, client: Person, session: Row, refused: Refused
) -> None:
    change(db, "users", client.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        preview(db, client, session)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, PREVIEW, p_session_id=session["id"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, PREVIEW, p_session_id=session["id"])
