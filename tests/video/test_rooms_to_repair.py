"""Which rooms to make, mend or delete: SQL compares the provider's rooms with those needed."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    Row,
    act_as,
    approve,
    call,
    change,
    contents,
    give_credits,
    propose,
)


@pytest.fixture
def session(db: Connection, therapist: Person, client: Person) -> Row:
    """An approved session, tomorrow."""
    give_credits(db, client, 3)
    return approve(db, client, propose(db, therapist, client))


def room_of(session_id: UUID) -> str:
    """Return the name of a session's room."""
    return f"s-{session_id.hex}"


def room_for(db: Connection, session: Row) -> dict[str, Any]:
    """Return the room that a session needs."""
    [outcome] = db.execute(
        "select a.beside -> 'room' as room from session_approval.session_answers a where a.id = %s",
        (session["id"],),
    ).fetchall()
    room: dict[str, Any] = outcome["room"]
    return room


def repairs(db: Connection, *rooms: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return what is to be done when the provider has these rooms."""
    rows = db.execute(
        "select * from session_approval.rooms_to_repair(%s) order by act", (json.dumps(rooms),)
    )
    return [(row["act"], row["room"]) for row in rows]


def test_the_missing_room_of_an_approved_session_is_made(db: Connection, session: Row) -> None:
    assert repairs(db) == [("make", room_for(db, session))]


@pytest.mark.parametrize("status", ["scheduled", "confirmed", "in_progress"])
def test_a_correct_room_is_left_alone(db: Connection, session: Row, status: str) -> None:
    change(db, "sessions", session["id"], status=status)

    assert repairs(db, room_for(db, session)) == []


def test_a_proposed_instant_session_needs_a_room_and_a_scheduled_one_needs_none(
    db: Connection, therapist: Person, client: Person
) -> None:
    propose(db, therapist, client)
    instant = propose(db, therapist, client, p_is_instant=True)
    wanted_room = room_for(db, instant)

    assert repairs(db) == [("make", wanted_room)]
    assert repairs(db, {**wanted_room, "opens_at": None}) == []


def test_a_session_of_older_code_keeps_its_room_and_gets_none_before_a_join(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    [session] = db.execute(
        "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
        " values (%s, %s, %s, %s) returning id",
        (client.id, therapist.id, now, now + timedelta(minutes=30)),
    ).fetchall()

    assert repairs(db) == []
    assert repairs(db, room_for(db, session)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"closes_at": 4_000_000_000},
        {"closes_at": None},
        {"max_participants": 3},
        {"max_participants": None},
        {"opens_at": 1_700_000_000},
        {"opens_at": None},
    ],
    ids=str,
)
def test_a_room_with_wrong_times_or_places_is_mended(
    db: Connection, session: Row, wrong: dict[str, Any]
) -> None:
    wanted_room = room_for(db, session)

    assert repairs(db, {**wanted_room, **wrong}) == [("mend", wanted_room)]


@pytest.mark.parametrize("unknown", ["opens_at", "closes_at", "max_participants"])
def test_a_room_with_an_unknown_property_is_mended(
    db: Connection, session: Row, unknown: str
) -> None:
    wanted_room = room_for(db, session)
    known = {name: value for name, value in wanted_room.items() if name != unknown}

    assert repairs(db, known) == [("mend", wanted_room)]


def test_the_room_of_a_proposed_instant_session_must_be_open(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    wanted_room = room_for(db, propose(db, therapist, client, p_is_instant=True))
    hour = timedelta(hours=1)

    for opens_at, acts in ((now + hour, [("mend", wanted_room)]), (now - hour, [])):
        assert repairs(db, {**wanted_room, "opens_at": int(opens_at.timestamp())}) == acts


@pytest.mark.parametrize("how", ["cancelled", "completed", "no_show", "over"])
def test_the_room_of_a_session_that_needs_none_is_deleted(
    db: Connection, session: Row, now: datetime, how: str
) -> None:
    room = room_for(db, session)
    past = {"start_time": now - timedelta(minutes=30), "end_time": now}
    change(db, "sessions", session["id"], **(past if how == "over" else {"status": how}))

    assert repairs(db, room) == [("delete", {"name": room["name"]})]


def test_the_room_of_an_expired_instant_proposal_is_deleted(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client, p_is_instant=True)
    room = room_for(db, session)
    change(db, "sessions", session["id"], approval_expires_at="now")

    assert repairs(db, room) == [("delete", {"name": room["name"]})]


def test_the_room_of_a_deleted_session_is_deleted(db: Connection, session: Row) -> None:
    db.execute("delete from public.sessions where id = %s", (session["id"],))

    name = room_of(session["id"])
    assert repairs(db, {"name": name}) == [("delete", {"name": name})]


def test_a_room_of_no_session_here_is_left_alone_whatever_its_name(
    db: Connection, session: Row
) -> None:
    call(db, _client(db, session), "cancel_session", p_session_id=session["id"])
    others = [
        {"name": room_of(uuid4())},  # another installation's
        {"name": "daily-standup"},
        {"name": f"x{room_of(session['id'])}"},
        {"name": f"{room_of(session['id'])}x"},
        {"name": room_of(session["id"]).upper()},
        {"name": ""},
        {},
    ]

    assert repairs(db, *others) == []


def test_only_the_owner_may_look_and_looking_changes_nothing(db: Connection, session: Row) -> None:
    before = contents(db)
    repairs(db, {"name": room_of(session["id"])})
    assert contents(db) == before

    for role in ("anon", "authenticated", "service_role"):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            db.transaction(),
            act_as(db, None, role),
        ):
            db.execute("select session_approval.rooms_to_repair('[]')")


def _client(db: Connection, session: Row) -> Person:
    [person] = db.execute(
        "select id, email, full_name, user_type from public.users where id = %s",
        (session["user_id"],),
    ).fetchall()
    return Person(**person)
