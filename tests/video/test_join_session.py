"""Only the two people of a session join it, only in time, and only the therapist owns the room."""

from datetime import datetime, timedelta
from typing import Any
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
    events,
    give_credits,
    propose,
    row,
)
from tests.conftest import Refused

JOIN = "join_session"


@pytest.fixture
def session(db: Connection, therapist: Person, client: Person, now: datetime) -> Row:
    """An approved session that starts in five minutes and takes half an hour."""
    give_credits(db, client, 3)
    return approve(
        db, client, propose(db, therapist, client, p_start_time=now + timedelta(minutes=5))
    )


def join(db: Connection, person: Person, session: Row) -> Row:
    """Join a session as a person, and return the answer."""
    [answer] = call(db, person, JOIN, p_session_id=session["id"])
    return answer


def test_the_answer_describes_the_room_and_the_persons_place_in_it(
    db: Connection, therapist: Person, client: Person, session: Row
) -> None:
    opens_at = int((session["start_time"] - timedelta(minutes=10)).timestamp())
    closes_at = int(session["end_time"].timestamp())

    for person, is_owner in ((therapist, True), (client, False)):
        answer = join(db, person, session)

        assert answer["room"] == {
            "name": f"s-{session['id'].hex}",
            "opens_at": opens_at,
            "closes_at": closes_at,
            "max_participants": 2,
        }
        assert answer["attendance"] == {
            "room_name": f"s-{session['id'].hex}",
            "user_id": str(person.id),
            "user_name": person.full_name,
            "is_owner": is_owner,
            "opens_at": opens_at,
            "expires_at": closes_at,
        }
        assert answer["expires_at"] == session["end_time"]


def test_the_first_join_begins_the_session_and_later_joins_change_nothing(
    db: Connection, therapist: Person, client: Person, session: Row
) -> None:
    join(db, client, session)

    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("scheduled", "in_progress")
    assert latest["actor_id"] == client.id
    before = contents(db)
    for person in (therapist, client, client):
        join(db, person, session)
    assert contents(db) == before


def test_an_instant_session_can_be_joined_as_soon_as_it_is_approved(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = approve(db, client, propose(db, therapist, client, p_is_instant=True))

    join(db, client, session)

    assert row(db, "sessions", session["id"])["status"] == "in_progress"


def test_a_session_that_older_code_scheduled_can_be_joined(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    [session] = db.execute(
        "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
        " values (%s, %s, %s, %s) returning id",
        (client.id, therapist.id, now, now + timedelta(minutes=30)),
    ).fetchall()

    assert join(db, client, session)["room"]["name"] == f"s-{session['id'].hex}"


def test_a_person_without_a_name_is_a_guest(db: Connection, client: Person, session: Row) -> None:
    db.execute("alter table public.users alter column full_name drop not null")
    change(db, "users", client.id, full_name=None)

    assert join(db, client, session)["attendance"]["user_name"] == "Guest"


def test_a_session_can_be_joined_from_join_early_before_its_start(
    db: Connection, client: Person, session: Row, now: datetime, refused: Refused
) -> None:
    configure(db, join_early="3 minutes")
    opens_at = now + timedelta(microseconds=1)
    change(db, "sessions", session["id"], start_time=opens_at + timedelta(minutes=3))

    with refused(409, "SESSION_NOT_OPEN") as refusal:
        join(db, client, session)
    assert refusal.message == "This session cannot be joined yet"
    assert set(refusal.details) == {"opens_at"}
    assert datetime.fromisoformat(refusal.details["opens_at"]) == opens_at
    assert row(db, "sessions", session["id"])["status"] == "scheduled"

    change(db, "sessions", session["id"], start_time=now + timedelta(minutes=3))
    join(db, client, session)


@pytest.mark.parametrize("status", ["scheduled", "confirmed", "in_progress"])
def test_a_session_can_be_joined_until_its_end(
    db: Connection, client: Person, session: Row, now: datetime, refused: Refused, status: str
) -> None:
    start = now - timedelta(minutes=30)
    change(db, "sessions", session["id"], status=status, start_time=start, end_time=now)

    with refused(410, "SESSION_OVER") as refusal:
        join(db, client, session)
    assert (refusal.message, refusal.details) == ("This session is over", None)

    change(db, "sessions", session["id"], end_time=now + timedelta(microseconds=1))
    join(db, client, session)


@pytest.mark.parametrize(
    ("columns", "status", "code", "message", "details"),
    [
        (
            {"status": "pending_approval"},
            409,
            "SESSION_NOT_APPROVED",
            "This session waits for the client's approval",
            None,
        ),
        (
            {"status": "cancelled", "cancellation_reason": "cancelled_by_client"},
            409,
            "SESSION_CANCELLED",
            "This session was called off",
            {"cancellation_reason": "cancelled_by_client"},
        ),
        (
            {"status": "pending_approval", "approval_expires_at": "now"},
            409,
            "SESSION_CANCELLED",
            "This session was called off",
            {"cancellation_reason": "expired"},
        ),
        ({"status": "completed"}, 410, "SESSION_OVER", "This session is over", None),
        ({"status": "no_show"}, 410, "SESSION_OVER", "This session is over", None),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_session_that_waits_or_has_ended_cannot_be_joined(
    db: Connection,
    therapist: Person,
    client: Person,
    session: Row,
    refused: Refused,
    columns: dict[str, Any],
    status: int,
    code: str,
    message: str,
    details: Any,
) -> None:
    change(db, "sessions", session["id"], **columns)
    before = contents(db)

    for person in (client, therapist):
        with refused(status, code) as refusal:
            join(db, person, session)
        assert (refusal.message, refusal.details) == (message, details)

    assert contents(db) == before


def test_a_session_with_an_unknown_status_cannot_be_joined(
    db: Connection, client: Person, session: Row, refused: Refused
) -> None:
    db.execute("alter table public.sessions drop constraint sessions_status_check")
    change(db, "sessions", session["id"], status="waiting_list")

    with refused(409, "SESSION_NOT_OPEN"):
        join(db, client, session)


def test_another_person_cannot_join_and_does_not_learn_of_the_session(
    db: Connection, client: Person, session: Row, stranger: Person, refused: Refused
) -> None:
    for person, session_id in [
        (stranger, session["id"]),
        (add_person(db, "therapist"), session["id"]),
        (client, uuid4()),
        (client, None),
    ]:
        with refused(404, "SESSION_NOT_FOUND") as refusal:
            call(db, person, JOIN, p_session_id=session_id)
        assert (refusal.message, refusal.details) == ("Session not found", None)


def test_a_person_who_cannot_sign_in_cannot_join(
    db: Connection, client: Person, session: Row, refused: Refused
) -> None:
    change(db, "users", client.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        join(db, client, session)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, JOIN, p_session_id=session["id"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, JOIN, p_session_id=session["id"])
