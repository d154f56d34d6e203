"""Finishing: the therapist says how a session ended, once."""

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
    balances,
    call,
    call_as,
    change,
    contents,
    events,
    give_credits,
    overtaken,
    propose,
    three_connections,
)
from tests.conftest import Refused

FINISH = "finish_session"


@pytest.fixture
def session(db: Connection, therapist: Person, client: Person, now: datetime) -> Row:
    """An approved session that began a quarter of an hour ago and is in progress."""
    give_credits(db, client, 3)
    approved = approve(db, client, propose(db, therapist, client))
    change(
        db,
        "sessions",
        approved["id"],
        status="in_progress",
        start_time=now - timedelta(minutes=15),
        end_time=now + timedelta(minutes=15),
    )
    return approved


def finish(db: Connection, person: Person, session: Row, **arguments: Any) -> Row:
    """Finish a session as a person, and return it."""
    [finished] = call(db, person, FINISH, p_session_id=session["id"], **arguments)
    return finished


@pytest.mark.parametrize("outcome", ["completed", "no_show"])
def test_the_therapist_says_how_a_session_ended(
    db: Connection, therapist: Person, client: Person, session: Row, outcome: str
) -> None:
    finished = finish(db, therapist, session, p_outcome=outcome)

    assert (finished["status"], finished["beside"]["message"]) == (outcome, "Session finished.")
    assert finished["beside"]["room"] == {"name": f"s-{session['id'].hex}"}
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("in_progress", outcome)
    assert latest["actor_id"] == therapist.id
    assert balances(db, client) == [2]


def test_a_session_finished_without_an_outcome_is_completed(
    db: Connection, therapist: Person, session: Row
) -> None:
    assert finish(db, therapist, session)["status"] == "completed"


def test_finishing_again_gives_the_same_answer_and_changes_nothing(
    db: Connection, therapist: Person, session: Row
) -> None:
    first = finish(db, therapist, session, p_outcome="no_show")
    before = contents(db)

    assert finish(db, therapist, session, p_outcome="no_show") == first
    assert contents(db) == before


def test_agreeing_with_the_sweep_writes_nothing(
    db: Connection, therapist: Person, session: Row, now: datetime
) -> None:
    ended = now - timedelta(hours=1)
    change(
        db,
        "sessions",
        session["id"],
        status="scheduled",
        start_time=ended - timedelta(minutes=30),
        end_time=ended,
    )
    call_as(db, "service_role", None, "sweep_sessions")
    stored = "select ctid::text from public.sessions where id = %s"
    before = db.execute(stored, (session["id"],)).fetchall()

    assert finish(db, therapist, session, p_outcome="no_show")["status"] == "no_show"

    assert db.execute(stored, (session["id"],)).fetchall() == before


def test_a_finished_session_cannot_get_another_outcome(
    db: Connection, therapist: Person, session: Row, refused: Refused
) -> None:
    finish(db, therapist, session, p_outcome="no_show")

    with refused(409, "SESSION_NOT_FINISHABLE") as refusal:
        finish(db, therapist, session, p_outcome="completed")

    assert refusal.message == "This session has not begun, or has ended otherwise"
    assert refusal.details == {"status": "no_show"}


def test_a_move_by_an_operator_does_not_reopen_a_finished_session(
    db: Connection, therapist: Person, session: Row, refused: Refused, now: datetime
) -> None:
    finish(db, therapist, session, p_outcome="no_show")
    change(db, "sessions", session["id"], end_time=now + timedelta(minutes=20))

    with refused(409, "SESSION_NOT_FINISHABLE"):
        finish(db, therapist, session, p_outcome="completed")


@pytest.mark.parametrize("status", ["scheduled", "confirmed"])
def test_a_session_that_nobody_joined_can_be_finished_from_its_start_on(
    db: Connection,
    therapist: Person,
    session: Row,
    now: datetime,
    refused: Refused,
    status: str,
) -> None:
    change(db, "sessions", session["id"], status=status, start_time=now + timedelta(microseconds=1))
    with refused(409, "SESSION_NOT_FINISHABLE") as refusal:
        finish(db, therapist, session, p_outcome="no_show")
    assert refusal.details == {"status": status}

    change(db, "sessions", session["id"], start_time=now)
    assert finish(db, therapist, session, p_outcome="no_show")["status"] == "no_show"


@pytest.mark.parametrize("status", ["pending_approval", "cancelled"])
def test_a_session_that_did_not_take_place_cannot_be_finished(
    db: Connection, therapist: Person, session: Row, refused: Refused, status: str
) -> None:
    change(db, "sessions", session["id"], status=status)

    for outcome in ("completed", "no_show"):
        with refused(409, "SESSION_NOT_FINISHABLE") as refusal:
            finish(db, therapist, session, p_outcome=outcome)
        assert refusal.details == {"status": status}


@pytest.mark.parametrize("outcome", ["cancelled", "scheduled", "COMPLETED", "", None])
def test_any_other_outcome_is_refused(
    db: Connection, therapist: Person, session: Row, refused: Refused, outcome: str | None
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        finish(db, therapist, session, p_outcome=outcome)

    assert refusal.message == "The outcome is not valid"
    assert refusal.details == {"outcome": "must be completed or no_show"}


@pytest.mark.parametrize("who", [None, "client", "therapist"])
def test_the_therapist_may_say_who_missed_a_session(
    db: Connection, therapist: Person, session: Row, who: str | None
) -> None:
    finished = finish(db, therapist, session, p_outcome="no_show", p_no_show_by=who)

    assert (finished["status"], finished["no_show_by"]) == ("no_show", who or "client")
    before = contents(db)
    assert finish(db, therapist, session, p_outcome="no_show", p_no_show_by=who) == finished
    assert contents(db) == before


def test_the_person_who_missed_a_session_cannot_be_changed(
    db: Connection, therapist: Person, session: Row, refused: Refused
) -> None:
    finish(db, therapist, session, p_outcome="no_show", p_no_show_by="therapist")

    with refused(409, "SESSION_NOT_FINISHABLE") as refusal:
        finish(db, therapist, session, p_outcome="no_show")

    assert refusal.details == {"status": "no_show"}


def test_a_no_show_corrected_to_completed_clears_who_missed_it(
    db: Connection, therapist: Person, session: Row, now: datetime
) -> None:
    change(
        db,
        "sessions",
        session["id"],
        status="scheduled",
        start_time=now - timedelta(hours=2),
        end_time=now - timedelta(hours=1),
    )
    call_as(db, "service_role", None, "sweep_sessions")
    change(db, "sessions", session["id"], no_show_by="both")

    finished = finish(db, therapist, session, p_outcome="completed")

    assert (finished["status"], finished["no_show_by"]) == ("completed", None)


@pytest.mark.parametrize("who", ["both", "Client", "", "nobody"])
def test_only_the_client_or_the_therapist_can_be_named_as_missing(
    db: Connection, therapist: Person, session: Row, refused: Refused, who: str
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        finish(db, therapist, session, p_outcome="no_show", p_no_show_by=who)

    assert refusal.details == {"no_show_by": "must be client or therapist"}


def test_a_completed_session_cannot_name_a_missing_person(
    db: Connection, therapist: Person, session: Row, refused: Refused
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        finish(db, therapist, session, p_outcome="completed", p_no_show_by="client")

    assert refusal.details == {"no_show_by": "must be left out of completed"}


def test_one_refusal_names_both_wrong_fields(
    db: Connection, therapist: Person, session: Row, refused: Refused
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        finish(db, therapist, session, p_outcome="over", p_no_show_by="me")

    assert refusal.details.keys() == {"outcome", "no_show_by"}


def test_only_its_therapist_can_finish_a_session_and_others_get_not_found(
    db: Connection,
    therapist: Person,
    client: Person,
    session: Row,
    stranger: Person,
    refused: Refused,
) -> None:
    for person, session_id in [
        (client, session["id"]),
        (stranger, session["id"]),
        (add_person(db, "therapist"), session["id"]),
        (therapist, uuid4()),
        (therapist, None),
    ]:
        with refused(404, "SESSION_NOT_FOUND") as refusal:
            call(db, person, FINISH, p_session_id=session_id)
        assert (refusal.message, refusal.details) == ("Session not found", None)


def test_a_caller_who_cannot_sign_in_cannot_finish(
    db: Connection, therapist: Person, session: Row, refused: Refused
) -> None:
    change(db, "users", therapist.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        finish(db, therapist, session)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, FINISH, p_session_id=session["id"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", therapist, FINISH, p_session_id=session["id"])


def test_finishing_waits_for_an_unfinished_cancellation_and_does_not_undo_it(
    own_database: str,
) -> None:
    with three_connections(own_database) as (db, first, second):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client)
        session = approve(db, client, propose(db, therapist, client, p_is_instant=True))
        first.execute("select")
        call(first, client, "cancel_session", p_session_id=session["id"])

        answer = overtaken(db, first, second, lambda db: finish(db, therapist, session))

        error = answer.exception()
        assert isinstance(error, psycopg.Error)
        assert error.diag.message_hint == "SESSION_NOT_FINISHABLE"
