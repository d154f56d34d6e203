"""The video provider's events are kept once each, in any order, and the session follows them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests import actors
from tests.actors import (
    Connection,
    Person,
    Row,
    act_as,
    add_person,
    approve,
    call,
    call_as,
    change,
    contents,
    events,
    give_credits,
    overtaken,
    propose,
    row,
    three_connections,
)
from tests.conftest import Refused

TIME_OF = {
    "meeting.started": "start_ts",
    "meeting.ended": "end_ts",
    "participant.joined": "joined_at",
}


@pytest.fixture
def session(db: Connection, therapist: Person, client: Person, now: datetime) -> Row:
    """An approved session that began a quarter of an hour ago; no person has joined it."""
    give_credits(db, client, 3)
    approved = approve(db, client, propose(db, therapist, client))
    begin = now - timedelta(minutes=15)
    change(db, "sessions", approved["id"], start_time=begin, end_time=begin + timedelta(minutes=30))
    return approved


def event(type_: str, session: Row, at: datetime, person: Person | None = None) -> dict[str, Any]:
    """Return an event of Daily about a session's room."""
    payload: dict[str, Any] = {"room": f"s-{session['id'].hex}", "meeting_id": str(uuid4())}
    if type_ in TIME_OF:
        payload[TIME_OF[type_]] = at.timestamp()
    if person:
        payload |= {"user_id": str(person.id), "user_name": person.full_name}
    envelope = {"version": "1.0.0", "id": str(uuid4()), "event_ts": at.timestamp()}
    return {**envelope, "type": type_, "payload": payload}


def record(db: Connection, daily_event: Any) -> bool:
    """Record an event as the server does; return whether it was recorded."""
    [answer] = call_as(db, "service_role", None, "record_video_event", p_event=Jsonb(daily_event))
    recorded: bool = answer["recorded"]
    return recorded


def status(db: Connection, session: Row) -> str:
    """Return the session's status as it is stored."""
    stored: str = row(db, "sessions", session["id"])["status"]
    return stored


def attendance(db: Connection, session: Row) -> list[tuple[str, Any, datetime]]:
    """Return the events of a session, by their time."""
    rows = db.execute(
        "select * from session_approval.video_events where session_id = %s order by occurred_at",
        (session["id"],),
    )
    return [(entry["type"], entry["user_id"], entry["occurred_at"]) for entry in rows]


# Attendance.


def test_joins_and_leaves_are_kept_with_the_providers_times(
    db: Connection, therapist: Person, client: Person, session: Row, now: datetime
) -> None:
    moments = [now - timedelta(minutes=minutes) for minutes in (9, 8, 7, 6, 5)]
    course = [
        ("meeting.started", None),
        ("participant.joined", therapist),
        ("participant.joined", client),
        ("participant.left", client),
        ("meeting.ended", None),
    ]
    for (type_, person), at in zip(course, moments, strict=True):
        assert record(db, event(type_, session, at, person)) is True

    assert attendance(db, session) == [
        (type_, person and person.id, at)
        for (type_, person), at in zip(course, moments, strict=True)
    ]


def test_a_repeated_event_is_kept_once_and_changes_nothing(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    joined = event("participant.joined", session, now, client)
    assert record(db, joined) is True
    before = contents(db)

    assert record(db, joined) is False
    assert record(db, {**joined, "type": "meeting.ended"}) is False
    assert contents(db) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "recording.started"},
        {"type": None},
        {"payload": None},
        {"payload": {"room": "somebody-elses"}},
        {"payload": {"room": f"s-{UUID(int=1).hex}"}},
        {"payload": {"room": "s-" + "g" * 32}},
        {"payload": []},
    ],
    ids=str,
)
def test_an_event_of_no_session_of_ours_is_not_recorded(
    db: Connection, client: Person, session: Row, now: datetime, changed: dict[str, Any]
) -> None:
    before = contents(db)

    assert record(db, {**event("participant.joined", session, now, client), **changed}) is False
    assert contents(db) == before


@pytest.mark.parametrize("nonsense", [None, [], "x", 7, {}])
def test_a_value_that_is_no_event_is_not_recorded(db: Connection, nonsense: Any) -> None:
    assert record(db, nonsense) is False


@pytest.mark.parametrize("missing", ["id", "event_ts"])
def test_an_event_without_an_id_or_a_time_is_refused(
    db: Connection, session: Row, now: datetime, refused: Refused, missing: str
) -> None:
    incomplete = event("participant.left", session, now)
    del incomplete[missing]

    with refused(400, "VALIDATION_ERROR"):
        record(db, incomplete)
    assert attendance(db, session) == []


# Joins.


@pytest.mark.parametrize("begins", ["scheduled", "confirmed"])
@pytest.mark.parametrize("who", ["therapist", "client"])
def test_the_first_of_the_two_people_to_join_begins_the_session(
    db: Connection,
    therapist: Person,
    client: Person,
    session: Row,
    now: datetime,
    begins: str,
    who: str,
) -> None:
    person = {"therapist": therapist, "client": client}[who]
    change(db, "sessions", session["id"], status=begins)
    balance = actors.balances(db, client)

    record(db, event("participant.joined", session, now, person))

    assert status(db, session) == "in_progress"
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == (begins, "in_progress")
    assert (latest["actor_id"], latest["reason"]) == (person.id, "Came into the video room")
    assert actors.balances(db, client) == balance


def test_another_person_in_the_room_begins_no_session(
    db: Connection, stranger: Person, session: Row, now: datetime
) -> None:
    record(db, event("participant.joined", session, now, stranger))
    unnamed = event("participant.joined", session, now)
    unnamed["payload"]["user_id"] = "a-guest-without-a-token"
    record(db, unnamed)

    assert status(db, session) == "scheduled"
    assert sorted(attendance(db, session), key=str) == sorted(
        [("participant.joined", stranger.id, now), ("participant.joined", None, now)], key=str
    )


@pytest.mark.parametrize("type_", ["meeting.started", "participant.left", "meeting.ended"])
def test_only_a_join_begins_a_session(
    db: Connection, client: Person, session: Row, now: datetime, type_: str
) -> None:
    assert record(db, event(type_, session, now, client)) is True

    assert status(db, session) == "scheduled"


def test_a_join_counts_from_join_early_before_the_start_until_the_end(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    actors.configure(db, join_early="10 minutes")
    begin, end = now + timedelta(minutes=10), now + timedelta(minutes=40)
    change(db, "sessions", session["id"], start_time=begin, end_time=end)
    moment = timedelta(microseconds=1)

    for outside in (now - moment, end):
        assert record(db, event("participant.joined", session, outside, client)) is True
        assert status(db, session) == "scheduled"

    record(db, event("participant.joined", session, now, client))
    assert status(db, session) == "in_progress"


def test_a_join_counts_by_its_own_time_however_late_the_event_arrives(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], end_time=now - timedelta(minutes=1))

    record(db, event("participant.joined", session, now - timedelta(minutes=2), client))

    assert status(db, session) == "in_progress"


@pytest.mark.parametrize(
    "ended", ["pending_approval", "cancelled", "completed", "no_show", "in_progress"]
)
def test_an_event_does_not_change_a_session_that_cannot_begin(
    db: Connection, client: Person, session: Row, now: datetime, ended: str
) -> None:
    change(db, "sessions", session["id"], status=ended)
    before = events(db, session)

    for type_ in ("participant.joined", "participant.left", "meeting.ended"):
        assert record(db, event(type_, session, now, client)) is True

    assert status(db, session) == ended
    assert events(db, session) == before


# The end.


def test_the_end_of_the_meeting_completes_a_session_whose_end_has_passed(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    record(db, event("participant.joined", session, now - timedelta(minutes=9), client))
    change(db, "sessions", session["id"], end_time=now)
    balance = actors.balances(db, client)

    record(db, event("meeting.ended", session, now))

    assert status(db, session) == "completed"
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("in_progress", "completed")
    assert (latest["actor_id"], latest["reason"]) == (None, "The video meeting ended")
    assert actors.balances(db, client) == balance


def test_a_session_goes_on_when_a_person_leaves_and_joins_again(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], end_time=now + timedelta(minutes=1))
    record(db, event("participant.joined", session, now - timedelta(minutes=2), client))
    record(db, event("participant.left", session, now - timedelta(minutes=1), client))
    record(db, event("meeting.ended", session, now - timedelta(minutes=1)))
    assert status(db, session) == "in_progress"

    record(db, event("participant.joined", session, now, client))
    assert status(db, session) == "in_progress"


def test_a_meeting_that_ends_in_the_last_second_completes_the_session(
    db: Connection, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], status="in_progress")
    whole = now.replace(microsecond=0) + timedelta(minutes=5)
    change(db, "sessions", session["id"], end_time=whole + timedelta(microseconds=600_000))

    record(db, event("meeting.ended", session, whole - timedelta(microseconds=1)))
    assert status(db, session) == "in_progress"

    # Daily's clock is ahead of ours: by its own time the meeting did last to the end.
    record(db, event("meeting.ended", session, whole))
    assert status(db, session) == "completed"


def test_events_in_the_wrong_order_have_the_same_result(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    end = now - timedelta(seconds=1)
    change(db, "sessions", session["id"], end_time=end)

    record(db, event("meeting.ended", session, end))
    assert status(db, session) == "scheduled"
    record(db, event("participant.joined", session, end - timedelta(minutes=9), client))

    assert status(db, session) == "completed"
    assert [entry["to_status"] for entry in events(db, session)][-2:] == [
        "in_progress",
        "completed",
    ]


def test_an_outcome_that_the_therapist_recorded_stays(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], status="no_show", end_time=now)

    record(db, event("meeting.ended", session, now))
    record(db, event("participant.joined", session, now - timedelta(minutes=1), client))

    assert status(db, session) == "no_show"


# At the same time.


def test_an_event_that_arrives_twice_at_once_is_kept_once(own_database: str) -> None:
    with three_connections(own_database) as (db, first, second):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client, 1)
        session = approve(db, client, propose(db, therapist, client, p_is_instant=True))
        [clock] = db.execute("select now() as at").fetchall()
        joined = event("participant.joined", session, clock["at"], client)
        first.execute("select")

        assert record(first, joined) is True
        answer = overtaken(db, first, second, lambda db: record(db, joined))

        assert answer.result() is False
        assert [entry["to_status"] for entry in events(db, session)].count("in_progress") == 1


def test_a_join_waits_for_a_running_cancellation_and_does_not_undo_it(
    own_database: str,
) -> None:
    with three_connections(own_database) as (db, first, second):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client, 1)
        session = approve(db, client, propose(db, therapist, client, p_is_instant=True))
        [clock] = db.execute("select now() as at").fetchall()
        first.execute("select")
        call(first, therapist, "cancel_session", p_session_id=session["id"])

        joined = event("participant.joined", session, clock["at"], client)
        answer = overtaken(db, first, second, lambda db: record(db, joined))

        assert answer.result() is True
        assert status(db, session) == "cancelled"


def test_events_of_two_sessions_do_not_wait_for_each_other(own_database: str) -> None:
    with (
        actors.connect(own_database) as db,
        actors.connect(own_database, autocommit=False) as busy,
    ):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        one, other = (propose(db, therapist, client, p_is_instant=True) for _ in range(2))
        [clock] = db.execute("select now() as at").fetchall()
        busy.execute("select")
        record(busy, event("meeting.started", one, clock["at"]))
        db.execute("set lock_timeout = '2s'")

        assert record(db, event("meeting.started", other, clock["at"])) is True
        busy.rollback()


def test_only_the_server_records_events(db: Connection) -> None:
    for role in ("anon", "authenticated"):
        for schema in ("public", "session_approval"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                db.transaction(),
                act_as(db, None, role),
            ):
                db.execute(f"select {schema}.record_video_event('{{}}')")
