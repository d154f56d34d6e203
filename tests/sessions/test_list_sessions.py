"""The list of sessions: the caller's own from either side, filtered, and paged without loss."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    add_person,
    call,
    call_as,
    change,
    propose,
)
from tests.conftest import Refused

LIST = "list_sessions"
STATUSES = [
    "pending_approval",
    "scheduled",
    "confirmed",
    "in_progress",
    "completed",
    "no_show",
    "cancelled",
]


def listed(db: Connection, person: Person, **arguments: Any) -> list[UUID]:
    """Return the ids of the sessions that a person sees."""
    return [row["id"] for row in call(db, person, LIST, **arguments)]


@pytest.fixture
def sessions(db: Connection, therapist: Person, client: Person, now: datetime) -> dict[str, UUID]:
    """One session of every status, each starting an hour after the one before, from tomorrow on."""
    found = {}
    for hours, status in enumerate(STATUSES):
        session = propose(db, therapist, client, p_start_time=now + timedelta(hours=24 + hours))
        change(db, "sessions", session["id"], status=status)
        found[status] = session["id"]
    return found


def test_only_the_two_people_of_a_session_see_it(
    db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    session = propose(db, therapist, client)

    assert listed(db, client) == [session["id"]]
    assert listed(db, therapist) == [session["id"]]
    assert listed(db, stranger) == []
    assert listed(db, add_person(db, "therapist")) == []


def test_a_session_is_shown_with_both_of_its_people(
    db: Connection, therapist: Person, client: Person
) -> None:
    propose(db, therapist, client)

    [session] = call(db, client, LIST)

    for side, person in (("therapist", therapist), ("client", client)):
        assert session[side] == {
            "id": str(person.id),
            "full_name": person.full_name,
            "email": person.email,
        }


def test_the_latest_start_comes_first(
    db: Connection, client: Person, sessions: dict[str, UUID]
) -> None:
    latest = [sessions[status] for status in reversed(STATUSES)]
    assert listed(db, client) == listed(db, client, p_upcoming=None) == latest


def test_upcoming_sessions_are_not_over_or_cancelled_and_come_soonest_first(
    db: Connection, client: Person, sessions: dict[str, UUID], now: datetime
) -> None:
    coming = ["pending_approval", "scheduled", "confirmed", "in_progress"]
    assert listed(db, client, p_upcoming=True) == [sessions[status] for status in coming]

    begun = now - timedelta(hours=1)
    for status, start, end in (
        ("scheduled", begun, now),
        ("confirmed", begun - timedelta(hours=1), begun),
    ):
        change(db, "sessions", sessions[status], start_time=start, end_time=end)
    change(db, "sessions", sessions["pending_approval"], approval_expires_at=now)
    assert listed(db, client, p_upcoming=True) == [sessions["in_progress"]]

    change(db, "sessions", sessions["scheduled"], end_time=now + timedelta(microseconds=1))
    assert sessions["scheduled"] in listed(db, client, p_upcoming=True)


@pytest.mark.parametrize(
    "wanted", [["scheduled"], ["completed", "no_show"], ["cancelled", "cancelled"], STATUSES, []]
)
def test_only_the_wanted_statuses_are_shown(
    db: Connection, client: Person, sessions: dict[str, UUID], wanted: list[str]
) -> None:
    found = listed(db, client, p_status=wanted)

    assert set(found) == {sessions[status] for status in wanted}
    assert len(found) == len(set(wanted))


def test_an_expired_proposal_is_shown_as_cancelled(
    db: Connection, client: Person, sessions: dict[str, UUID], now: datetime
) -> None:
    change(db, "sessions", sessions["pending_approval"], approval_expires_at=now)

    assert listed(db, client, p_status=["pending_approval"]) == []
    assert sessions["pending_approval"] in listed(db, client, p_status=["cancelled"])
    [expired] = [row for row in call(db, client, LIST) if row["id"] == sessions["pending_approval"]]
    assert (expired["status"], expired["cancellation_reason"]) == ("cancelled", "expired")
    assert (expired["cancelled_at"], expired["cancelled_by"]) == (now, None)


@pytest.mark.parametrize("p_upcoming", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_lose_and_repeat_no_session_when_many_start_at_the_same_moment(
    db: Connection,
    therapist: Person,
    client: Person,
    now: datetime,
    p_upcoming: bool,
    size: int,
) -> None:
    db.execute("update session_approval.settings set block_pending_slots = false")
    for hour in (1, 2, 2, 2, 2, 2, 3):
        propose(db, therapist, client, p_start_time=now + timedelta(hours=hour))
    whole = call(db, client, LIST, p_upcoming=p_upcoming)
    starts = [row["start_time"] for row in whole]
    assert starts == sorted(starts, reverse=not p_upcoming)

    paged: list[UUID] = []
    for _ in range(len(whole) + 1):
        page = listed(
            db, client, p_upcoming=p_upcoming, p_limit=size, p_before=paged[-1] if paged else None
        )
        assert len(page) <= size
        paged += page

    assert paged == [row["id"] for row in whole]
    assert len(paged) == 7


def test_a_page_has_fifty_sessions_by_default(
    db: Connection, therapist: Person, client: Person
) -> None:
    for _ in range(51):
        propose(db, therapist, client)

    assert len(listed(db, client)) == 50
    assert len(listed(db, client, p_limit=100)) == 51


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"p_limit": 0}, "limit"),
        ({"p_limit": 101}, "limit"),
        ({"p_limit": -1}, "limit"),
        ({"p_limit": None}, "limit"),
        ({"p_status": ["scheduled", "approved"]}, "status"),
        ({"p_status": [None]}, "status"),
        ({"p_status": [""]}, "status"),
        ({"p_before": UUID(int=1)}, "before"),
    ],
    ids=str,
)
def test_a_refusal_names_the_wrong_filter(
    db: Connection, client: Person, refused: Refused, arguments: dict[str, Any], field: str
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        listed(db, client, **arguments)

    assert refusal.message == "The filter is not valid"
    assert set(refusal.details) == {field}


def test_one_refusal_names_every_wrong_filter(
    db: Connection, client: Person, refused: Refused
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        listed(db, client, p_status=["x"], p_limit=0, p_before=uuid4())

    assert set(refusal.details) == {"status", "limit", "before"}


def test_a_page_cannot_begin_after_a_session_of_another_person(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)

    said = []
    for p_before in (session["id"], uuid4()):
        with refused(400, "VALIDATION_ERROR") as refusal:
            listed(db, stranger, p_before=p_before)
        said.append((refusal.message, refusal.details))

    assert said[0] == said[1]


def test_a_caller_who_cannot_sign_in_sees_nothing(
    db: Connection, client: Person, refused: Refused
) -> None:
    change(db, "users", client.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        listed(db, client)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, LIST)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, LIST)


@pytest.mark.parametrize(("gone", "column"), [("therapist", "therapist_id"), ("client", "user_id")])
def test_a_session_of_a_deleted_person_is_listed_without_a_name(
    db: Connection, therapist: Person, client: Person, gone: str, column: str
) -> None:
    session = propose(db, therapist, client)
    db.execute(f"alter table public.sessions alter {column} drop not null")
    change(db, "sessions", session["id"], **{column: None})

    [listed] = call(db, client if gone == "therapist" else therapist, LIST)

    assert listed["id"] == session["id"]
    assert listed[gone] == {"id": None, "full_name": None, "email": None}


def test_an_older_session_with_empty_columns_is_listed_in_the_usual_shape(
    db: Connection, therapist: Person, client: Person
) -> None:
    columns = ("is_instant", "requires_approval")
    for column in columns:
        db.execute(f"alter table public.sessions alter {column} drop not null")
    session = propose(db, therapist, client, p_duration_minutes=45)
    change(db, "sessions", session["id"], **dict.fromkeys((*columns, "duration_minutes")))
    change(db, "sessions", session["id"], status="scheduled", session_url="https://example.org/x")

    [listed] = call(db, client, LIST)

    assert (listed["is_instant"], listed["requires_approval"]) == (False, False)
    assert (listed["duration_minutes"], listed["session_url"]) == (45, "https://example.org/x")


@pytest.mark.parametrize("upcoming", [False, True])
def test_every_page_says_whether_more_sessions_follow(
    db: Connection, therapist: Person, client: Person, upcoming: bool
) -> None:
    for _ in range(3):
        propose(db, therapist, client)

    def told(**arguments: Any) -> list[bool]:
        rows = call(db, client, "list_sessions", p_upcoming=upcoming, **arguments)
        return [row["beside"]["has_more"] for row in rows]

    assert told() == [False] * 3
    assert told(p_limit=3) == [False] * 3
    assert told(p_limit=2) == [True] * 2
    last = call(db, client, "list_sessions", p_upcoming=upcoming, p_limit=2)[-1]["id"]
    assert told(p_limit=2, p_before=last) == [False]
