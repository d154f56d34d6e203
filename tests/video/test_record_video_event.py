"""The provider's events: each kept once, in any order, and the session follows them."""

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
    """An approved session that began a quarter of an hour ago, and that nobody has joined."""
    give_credits(db, client, 3)
    approved = approve(db, client, propose(db, therapist, client))
    begin = now - timedelta(minutes=15)
    change(db, "sessions", approved["id"], start_time=begin, end_time=begin + timedelta(minutes=30))
    return approved


def event(type_: str, session: Row, at: datetime, person: Person | None = None) -> dict[str, Any]:
    """What Daily says of a session's room."""
    payload: dict[str, Any] = {"room": f"s-{session['id'].hex}", "meeting_id": str(uuid4())}
    if type_ in TIME_OF:
        payload[TIME_OF[type_]] = at.timestamp()
    if person:
        payload |= {"user_id": str(person.id), "user_name": person.full_name}
    envelope = {"version": "1.0.0", "id": str(uuid4()), "event_ts": at.timestamp()}
    return {**envelope, "type": type_, "payload": payload}


def tell(db: Connection, said: Any) -> bool:
    """Tell the database what Daily said, as the server does; whether it was news."""
    [answer] = call_as(db, "service_role", None, "record_video_event", p_event=Jsonb(said))
    recorded: bool = answer["recorded"]
    return recorded


def status(db: Connection, session: Row) -> str:
    """Return the session's status as it is stored."""
    stored: str = row(db, "sessions", session["id"])["status"]
    return stored


def attendance(db: Connection, session: Row) -> list[tuple[str, Any, datetime]]:
    """Return who came and went, in order."""
    kept = db.execute(
        "select * from session_approval.video_events where session_id = %s order by occurred_at",
        (session["id"],),
    )
    return [(told["type"], told["user_id"], told["occurred_at"]) for told in kept]


# Attendance.


def test_who_came_and_went_is_kept_with_the_providers_times(
    db: Connection, therapist: Person, client: Person, session: Row, now: datetime
) -> None:
    moments = [now - timedelta(minutes=minutes) for minutes in (9, 8, 7, 6, 5)]
    told = [
        ("meeting.started", None),
        ("participant.joined", therapist),
        ("participant.joined", client),
        ("participant.left", client),
        ("meeting.ended", None),
    ]
    for (type_, person), at in zip(told, moments, strict=True):
        assert tell(db, event(type_, session, at, person)) is True

    assert attendance(db, session) == [
        (type_, person and person.id, at) for (type_, person), at in zip(told, moments, strict=True)
    ]


def test_a_repeated_event_is_kept_once_and_changes_nothing(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    joined = event("participant.joined", session, now, client)
    assert tell(db, joined) is True
    before = contents(db)

    assert tell(db, joined) is False
    assert tell(db, {**joined, "type": "meeting.ended"}) is False
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
def test_what_does_not_concern_a_session_of_ours_is_no_news(
    db: Connection, client: Person, session: Row, now: datetime, changed: dict[str, Any]
) -> None:
    before = contents(db)

    assert tell(db, {**event("participant.joined", session, now, client), **changed}) is False
    assert contents(db) == before


@pytest.mark.parametrize("nonsense", [None, [], "x", 7, {}])
def test_what_is_no_event_is_no_news(db: Connection, nonsense: Any) -> None:
    assert tell(db, nonsense) is False


@pytest.mark.parametrize("missing", ["id", "event_ts"])
def test_an_event_without_an_id_or_a_time_is_refused(
    db: Connection, session: Row, now: datetime, refused: Refused, missing: str
) -> None:
    said = event("participant.left", session, now)
    del said[missing]

    with refused(400, "VALIDATION_ERROR"):
        tell(db, said)
    assert attendance(db, session) == []


# Coming in.


@pytest.mark.parametrize("begins", ["scheduled", "confirmed"])
@pytest.mark.parametrize("who", ["therapist", "client"])
def test_the_first_of_the_two_to_come_in_begins_the_session(
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

    tell(db, event("participant.joined", session, now, person))

    assert status(db, session) == "in_progress"
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == (begins, "in_progress")
    assert (latest["actor_id"], latest["reason"]) == (person.id, "Came into the video room")
    assert actors.balances(db, client) == balance


def test_somebody_else_in_the_room_begins_nothing(
    db: Connection, stranger: Person, session: Row, now: datetime
) -> None:
    tell(db, event("participant.joined", session, now, stranger))
    unnamed = event("participant.joined", session, now)
    unnamed["payload"]["user_id"] = "a-guest-without-a-token"
    tell(db, unnamed)

    assert status(db, session) == "scheduled"
    assert sorted(attendance(db, session), key=str) == sorted(
        [("participant.joined", stranger.id, now), ("participant.joined", None, now)], key=str
    )


@pytest.mark.parametrize("type_", ["meeting.started", "participant.left", "meeting.ended"])
def test_only_coming_in_begins_a_session(
    db: Connection, client: Person, session: Row, now: datetime, type_: str
) -> None:
    assert tell(db, event(type_, session, now, client)) is True

    assert status(db, session) == "scheduled"


def test_coming_in_counts_from_join_early_before_the_start_until_the_end(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    actors.configure(db, join_early="10 minutes")
    begin, end = now + timedelta(minutes=10), now + timedelta(minutes=40)
    change(db, "sessions", session["id"], start_time=begin, end_time=end)
    moment = timedelta(microseconds=1)

    for outside in (now - moment, end):
        assert tell(db, event("participant.joined", session, outside, client)) is True
        assert status(db, session) == "scheduled"

    tell(db, event("participant.joined", session, now, client))
    assert status(db, session) == "in_progress"


def test_coming_in_is_judged_by_its_own_time_however_late_it_is_told(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], end_time=now - timedelta(minutes=1))

    tell(db, event("participant.joined", session, now - timedelta(minutes=2), client))

    assert status(db, session) == "in_progress"


@pytest.mark.parametrize(
    "ended", ["pending_approval", "cancelled", "completed", "no_show", "in_progress"]
)
def test_an_event_moves_no_session_that_is_not_to_begin(
    db: Connection, client: Person, session: Row, now: datetime, ended: str
) -> None:
    change(db, "sessions", session["id"], status=ended)
    before = events(db, session)

    for type_ in ("participant.joined", "participant.left", "meeting.ended"):
        assert tell(db, event(type_, session, now, client)) is True

    assert status(db, session) == ended
    assert events(db, session) == before


# The end.


def test_a_meeting_that_has_ended_completes_a_session_that_is_over(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    tell(db, event("participant.joined", session, now - timedelta(minutes=9), client))
    change(db, "sessions", session["id"], end_time=now)
    balance = actors.balances(db, client)

    tell(db, event("meeting.ended", session, now))

    assert status(db, session) == "completed"
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("in_progress", "completed")
    assert (latest["actor_id"], latest["reason"]) == (None, "The video meeting ended")
    assert actors.balances(db, client) == balance


def test_who_drops_out_of_a_call_and_comes_back_finds_it_going_on(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], end_time=now + timedelta(minutes=1))
    tell(db, event("participant.joined", session, now - timedelta(minutes=2), client))
    tell(db, event("participant.left", session, now - timedelta(minutes=1), client))
    tell(db, event("meeting.ended", session, now - timedelta(minutes=1)))
    assert status(db, session) == "in_progress"

    tell(db, event("participant.joined", session, now, client))
    assert status(db, session) == "in_progress"


def test_the_end_is_reached_with_its_whole_second_when_the_room_closes(
    db: Connection, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], status="in_progress")
    whole = now.replace(microsecond=0) + timedelta(minutes=5)
    change(db, "sessions", session["id"], end_time=whole + timedelta(microseconds=600_000))

    tell(db, event("meeting.ended", session, whole - timedelta(microseconds=1)))
    assert status(db, session) == "in_progress"

    # Daily's clock is ahead of ours: by its own time the meeting did last to the end.
    tell(db, event("meeting.ended", session, whole))
    assert status(db, session) == "completed"


def test_in_the_wrong_order_it_comes_to_the_same(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    end = now - timedelta(seconds=1)
    change(db, "sessions", session["id"], end_time=end)

    tell(db, event("meeting.ended", session, end))
    assert status(db, session) == "scheduled"
    tell(db, event("participant.joined", session, end - timedelta(minutes=9), client))

    assert status(db, session) == "completed"
    assert [told["to_status"] for told in events(db, session)][-2:] == ["in_progress", "completed"]


def test_what_the_therapist_said_of_the_end_stands(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    change(db, "sessions", session["id"], status="no_show", end_time=now)

    tell(db, event("meeting.ended", session, now))
    tell(db, event("participant.joined", session, now - timedelta(minutes=1), client))

    assert status(db, session) == "no_show"


# In company.


def test_one_event_told_twice_at_once_is_kept_once(own_database: str) -> None:
    with three_connections(own_database) as (db, first, second):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client, 1)
        session = approve(db, client, propose(db, therapist, client, p_is_instant=True))
        [clock] = db.execute("select now() as at").fetchall()
        joined = event("participant.joined", session, clock["at"], client)
        first.execute("select")

        assert tell(first, joined) is True
        answer = overtaken(db, first, second, lambda db: tell(db, joined))

        assert answer.result() is False
        assert [told["to_status"] for told in events(db, session)].count("in_progress") == 1


def test_coming_in_waits_for_a_cancellation_under_way_and_does_not_undo_it(
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
        answer = overtaken(db, first, second, lambda db: tell(db, joined))

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
        tell(busy, event("meeting.started", one, clock["at"]))
        db.execute("set lock_timeout = '2s'")

        assert tell(db, event("meeting.started", other, clock["at"])) is True
        busy.rollback()


def test_only_the_server_tells(db: Connection) -> None:
    for role in ("anon", "authenticated"):
        for schema in ("public", "session_approval"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                db.transaction(),
                act_as(db, None, role),
            ):
                db.execute(f"select {schema}.record_video_event('{{}}')")
