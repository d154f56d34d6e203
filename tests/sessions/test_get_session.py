"""One session: for its two people, with everything that happened to it."""

from datetime import datetime
from uuid import uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    add_person,
    approve,
    call,
    call_as,
    change,
    contents,
    give_credits,
    propose,
    read_in_storage_order,
)
from tests.conftest import Refused

GET = "get_session"


def test_both_people_see_a_session_with_its_events_oldest_first(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    approve(db, client, session)
    call(db, therapist, "cancel_session", p_session_id=session["id"], p_reason="A strike")

    for person in (client, therapist):
        [found] = call(db, person, GET, p_session_id=session["id"])

        assert found["id"] == session["id"]
        steps = [
            (event["from_status"], event["to_status"], event["actor_id"], event["reason"])
            for event in found["beside"]["events"]
        ]
        assert steps == [
            (None, "pending_approval", str(therapist.id), None),
            ("pending_approval", "scheduled", str(client.id), None),
            ("scheduled", "cancelled", str(therapist.id), "A strike"),
        ]
        events = found["beside"]["events"]
        assert all(event["created_at"] for event in events)
        assert [event["kind"] for event in events] == ["proposed", "approved", "cancelled"]
        for event in events:
            assert datetime.fromisoformat(event["to_start"]) == session["start_time"]
            assert "private_reason" not in event
        assert events[0]["from_start"] is None


def test_events_are_listed_in_the_order_of_their_ids(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)
    for number, reason in [(2**40 + 1, "second"), (2**40, "first")]:
        db.execute(
            "insert into session_approval.session_events (id, session_id, kind, reason)"
            " overriding system value values (%s, %s, 'changed', %s)",
            (number, session["id"], reason),
        )
    read_in_storage_order(db)

    [found] = call(db, client, GET, p_session_id=session["id"])

    assert [event["reason"] for event in found["beside"]["events"]] == [None, "first", "second"]


def test_a_session_has_the_same_shape_as_in_a_list(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)

    [found] = call(db, client, GET, p_session_id=session["id"])
    [listed] = call(db, client, "list_sessions")

    assert (found.pop("beside").keys(), listed.pop("beside").keys()) == ({"events"}, {"has_more"})
    assert found == listed


def test_a_session_from_before_the_install_has_no_events(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)
    db.execute(
        "delete from session_approval.session_events where session_id = %s", (session["id"],)
    )

    [found] = call(db, client, GET, p_session_id=session["id"])

    assert found["beside"]["events"] == []


def test_reading_a_session_changes_nothing(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="now")
    before = contents(db)

    [found] = call(db, client, GET, p_session_id=session["id"])

    assert (found["status"], found["cancellation_reason"]) == ("cancelled", "expired")
    assert contents(db) == before


def test_other_people_do_not_see_a_session_or_learn_that_it_exists(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)

    for person, session_id in [
        (stranger, session["id"]),
        (add_person(db, "therapist"), session["id"]),
        (client, uuid4()),
        (client, None),
    ]:
        with refused(404, "SESSION_NOT_FOUND") as refusal:
            call(db, person, GET, p_session_id=session_id)
        assert (refusal.message, refusal.details) == ("Session not found", None)


def test_a_caller_who_cannot_sign_in_sees_nothing(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)
    change(db, "users", client.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        call(db, client, GET, p_session_id=session["id"])
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, GET, p_session_id=session["id"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, GET, p_session_id=session["id"])
