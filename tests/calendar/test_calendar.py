"""The calendar: nobody is booked twice, whoever writes, and a free time is never refused."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest

from scripts.operate import psql
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
    configure,
    give_credits,
    overtaken,
    propose,
    row,
    wait_until_blocked,
)
from tests.conftest import Refused

TEN = datetime(2030, 1, 1, 10, tzinfo=UTC)
HALF = timedelta(minutes=30)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Practice:
    """Two therapists and two clients of a practice, who try to be in two places at once."""

    db: Connection
    therapist: Person
    client: Person
    other_therapist: Person
    other_client: Person


@pytest.fixture
def practice(db: Connection, therapist: Person, client: Person) -> Practice:
    """The people of these tests; both clients can pay."""
    others = add_person(db, "therapist"), add_person(db, "individual")
    for person in (client, others[1]):
        give_credits(db, person, 10)
    return Practice(db, therapist, client, *others)


def insert(
    db: Connection,
    therapist: Person | None,
    client: Person | None,
    start: datetime | str | None = TEN,
    end: datetime | str | None = TEN + HALF,
    **columns: Any,
) -> Row:
    """Insert a session past the functions, as older code does unless it requires approval."""
    values = {
        "therapist_id": therapist and therapist.id,
        "user_id": client and client.id,
        "start_time": start,
        "end_time": end,
        **columns,
    }
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    [session] = db.execute(
        f"insert into public.sessions ({names}) values ({places}) returning *", values
    ).fetchall()
    return session


def booked(db: Connection, session: Row) -> list[tuple[UUID, datetime, datetime]]:
    """Return what a session holds: who, from when and until when."""
    held = db.execute(
        "select person_id, lower(during) as start, upper(during) as until"
        " from session_approval.bookings where session_id = %s order by person_id",
        (session["id"],),
    ).fetchall()
    return [(booking["person_id"], booking["start"], booking["until"]) for booking in held]


def holding(session: Row) -> list[tuple[UUID, datetime, datetime]]:
    """What a session should hold."""
    people_of_it = sorted((session["therapist_id"], session["user_id"]))
    return [(person, session["start_time"], session["end_time"]) for person in people_of_it]


@contextmanager
def taken(refused: Refused) -> Iterator[Any]:
    """Expect the refusal of a time that is taken."""
    with refused(409, "TIME_SLOT_CONFLICT") as refusal:
        yield refusal
    assert refusal.message == "Time slot is already booked"
    assert set(refusal.details) == {
        *("start_time", "duration_minutes", "conflicting_sessions", "suggested_times")
    }


# Which sessions block which.


@pytest.mark.parametrize("whose", ["the therapist's", "the client's", "both"])
@pytest.mark.parametrize("is_approved", [False, True], ids=["waiting", "approved"])
def test_a_person_cannot_have_two_proposals_at_one_time(
    practice: Practice, refused: Refused, whose: str, is_approved: bool
) -> None:
    db, therapist, client = practice.db, practice.therapist, practice.client
    first = propose(db, therapist, client, p_start_time=TEN)
    if is_approved:
        approve(db, client, first)
    second_therapist = practice.other_therapist if whose == "the client's" else therapist
    second_client = practice.other_client if whose == "the therapist's" else client

    with taken(refused):
        propose(db, second_therapist, second_client, p_start_time=TEN)

    assert propose(db, practice.other_therapist, practice.other_client, p_start_time=TEN)
    assert booked(db, first) == holding(first)


@pytest.mark.parametrize(
    ("start", "minutes", "is_free"),
    [
        (-30, 30, True),
        (-30, 31, False),
        (-5, 5, True),
        (-5, 480, False),
        (0, 30, False),
        (5, 5, False),
        (25, 30, False),
        (29, 30, False),
        (30, 30, True),
    ],
)
def test_one_session_may_begin_when_another_ends(
    practice: Practice, refused: Refused, start: int, minutes: int, is_free: bool
) -> None:
    db, therapist = practice.db, practice.therapist
    propose(db, therapist, practice.client, p_start_time=TEN)
    second = {"p_start_time": TEN + timedelta(minutes=start), "p_duration_minutes": minutes}

    if is_free:
        assert propose(db, therapist, practice.other_client, **second)
    else:
        with taken(refused):
            propose(db, therapist, practice.other_client, **second)


@pytest.mark.parametrize(("away", "is_free"), [(10, True), (9, False)])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("is_legacy", [False, True], ids=["proposed", "older code's"])
def test_the_buffer_keeps_sessions_apart_on_both_sides(
    practice: Practice, refused: Refused, away: int, is_free: bool, side: str, is_legacy: bool
) -> None:
    db, therapist = practice.db, practice.therapist
    configure(db, buffer="10 minutes")
    if is_legacy:
        insert(db, therapist, practice.client)
    else:
        propose(db, therapist, practice.client, p_start_time=TEN)
    gap = HALF + timedelta(minutes=away)
    start = TEN - gap if side == "before" else TEN + gap

    if is_free:
        assert propose(db, therapist, practice.other_client, p_start_time=start)
    else:
        with taken(refused):
            propose(db, therapist, practice.other_client, p_start_time=start)


# Instant sessions.


def test_a_waiting_instant_session_holds_no_time(practice: Practice, now: datetime) -> None:
    db = practice.db
    instant = propose(db, practice.therapist, practice.client, p_is_instant=True)
    soon = now + timedelta(microseconds=1)

    assert booked(db, instant) == []
    assert propose(db, practice.therapist, practice.client, p_start_time=soon)


@pytest.mark.parametrize("whose", ["therapist", "client"])
def test_an_instant_session_is_approved_only_while_both_are_free(
    practice: Practice, refused: Refused, now: datetime, whose: str
) -> None:
    db, therapist, client = practice.db, practice.therapist, practice.client
    instant = propose(db, therapist, client, p_is_instant=True)
    in_the_way = propose(
        db,
        therapist if whose == "therapist" else practice.other_therapist,
        client if whose == "client" else practice.other_client,
        p_start_time=now + timedelta(minutes=29),
    )

    with taken(refused) as refusal:
        approve(db, client, instant)
    assert refusal.details["conflicting_sessions"][0].keys() == {"start_time", "end_time"}
    assert actors.balances(db, client) == [10]
    assert row(db, "sessions", instant["id"])["status"] == "pending_approval"

    call(
        db,
        client if whose == "client" else practice.other_client,
        "decline_session",
        p_session_id=in_the_way["id"],
    )
    approved = approve(db, client, instant)

    assert (approved["start_time"], approved["end_time"]) == (now, now + HALF)
    assert booked(db, instant) == holding(approved)


def test_a_therapist_with_an_approved_instant_session_is_busy(
    practice: Practice, refused: Refused
) -> None:
    db = practice.db
    approve(
        db, practice.client, propose(db, practice.therapist, practice.client, p_is_instant=True)
    )
    second = propose(db, practice.therapist, practice.other_client, p_is_instant=True)

    with taken(refused):
        approve(db, practice.other_client, second)


def test_a_session_of_several_days_blocks_each_day(practice: Practice, refused: Refused) -> None:
    db, therapist = practice.db, practice.therapist
    session = approve(
        db, practice.client, propose(db, therapist, practice.client, p_start_time=TEN)
    )
    change(db, "sessions", session["id"], end_time=TEN + 3 * DAY)
    others = propose(db, practice.other_therapist, add_person(db, "individual"), p_start_time=TEN)
    change(db, "sessions", others["id"], end_time=TEN + 9 * DAY)

    for start in (TEN, TEN + HALF, TEN + DAY, TEN + DAY + HALF, TEN + 3 * DAY - HALF):
        with taken(refused) as refusal:
            propose(db, therapist, practice.other_client, p_start_time=start)
        [conflict] = refusal.details["conflicting_sessions"]
        assert conflict["id"] == str(session["id"])
    assert propose(db, therapist, practice.other_client, p_start_time=TEN + 3 * DAY)


@pytest.mark.parametrize("when", [{"p_is_instant": True}, {"p_start_time": TEN}], ids=str)
def test_a_taken_time_is_refused_before_a_missing_credit(
    practice: Practice, refused: Refused, when: dict[str, Any]
) -> None:
    db, poor = practice.db, add_person(practice.db, "individual")
    configure(db, block_pending_slots=False)
    session = propose(db, practice.therapist, poor, **when)
    approve(db, practice.client, propose(db, practice.therapist, practice.client, **when))

    with taken(refused):
        approve(db, poor, session)


# Writes that do not use the functions.


@pytest.mark.parametrize("writer", ["owner", "service_role"])
@pytest.mark.parametrize("status", ["pending_approval", "scheduled", "confirmed", "in_progress"])
def test_a_direct_write_cannot_book_a_person_twice(
    practice: Practice, refused: Refused, writer: str, status: str
) -> None:
    db, therapist = practice.db, practice.therapist
    db.execute("set local timezone = 'Asia/Tokyo'")
    propose(db, therapist, practice.client, p_start_time=TEN)

    def write(start: datetime) -> Row:
        def directly() -> Row:
            return insert(
                db,
                therapist,
                practice.other_client,
                start,
                start + HALF,
                requires_approval=True,
                status=status,
            )

        if writer == "owner":
            return directly()
        with act_as(db, None, writer):
            return directly()

    with taken(refused) as refusal:
        write(TEN)
    assert refusal.details["conflicting_sessions"] == [
        {"start_time": "2030-01-01T10:00:00+00:00", "end_time": "2030-01-01T10:30:00+00:00"}
    ]
    written = write(TEN + HALF)
    assert booked(db, written) == holding(written)


def test_the_table_refuses_two_bookings_of_one_person_at_one_time(
    practice: Practice,
) -> None:
    db = practice.db
    propose(db, practice.therapist, practice.client, p_start_time=TEN)

    with pytest.raises(psycopg.errors.ExclusionViolation), db.transaction():
        db.execute(
            "insert into session_approval.bookings values (%s, %s, tstzrange(%s, %s))",
            (uuid4(), practice.therapist.id, TEN + HALF / 2, TEN + DAY),
        )


@pytest.mark.parametrize("is_approved", [False, True], ids=["waiting", "approved"])
def test_a_move_of_a_session_moves_its_booking_or_is_refused(
    practice: Practice, refused: Refused, is_approved: bool
) -> None:
    db, therapist = practice.db, practice.therapist
    session = propose(db, therapist, practice.client, p_start_time=TEN)
    if is_approved:
        approve(db, practice.client, session)
    propose(db, therapist, practice.other_client, p_start_time=TEN + DAY)

    change(db, "sessions", session["id"], start_time=TEN + HALF / 2, end_time=TEN + 2 * HALF)
    assert booked(db, session) == holding(row(db, "sessions", session["id"]))
    with taken(refused):
        change(
            db,
            "sessions",
            session["id"],
            start_time=TEN + DAY - HALF / 2,
            end_time=TEN + DAY + HALF,
        )

    assert booked(db, session) == holding(row(db, "sessions", session["id"]))
    assert propose(db, therapist, practice.other_client, p_start_time=TEN, p_duration_minutes=15)


def test_an_expired_proposal_can_be_moved_before_it_gets_more_time(
    practice: Practice,
) -> None:
    db = practice.db
    session = propose(db, practice.therapist, practice.client, p_start_time=TEN)
    change(db, "sessions", session["id"], approval_expires_at="yesterday")

    change(db, "sessions", session["id"], start_time=TEN + HALF / 2, end_time=TEN + 2 * HALF)

    moved = row(db, "sessions", session["id"])
    assert moved["status"] == "pending_approval"
    assert booked(db, session) == holding(moved)


@pytest.mark.parametrize("is_approved", [False, True], ids=["waiting", "approved"])
@pytest.mark.parametrize("by", [HALF, -HALF], ids=["later", "earlier"])
def test_sessions_one_after_another_move_together(
    practice: Practice, by: timedelta, is_approved: bool
) -> None:
    db = practice.db
    sessions = [
        propose(db, practice.therapist, practice.client, p_start_time=TEN - by * number)
        for number in range(3)
    ]
    # Each session moves to the time that its neighbour still holds.
    sessions.reverse()
    for session in sessions:
        change(db, "sessions", session["id"], notes="stored in this order")
        if is_approved:
            approve(db, practice.client, session)
            change(db, "sessions", session["id"], approval_expires_at="yesterday")

    db.execute(
        "update public.sessions set start_time = start_time + %(by)s, end_time = end_time + %(by)s",
        {"by": by},
    )

    for session in sessions:
        moved = row(db, "sessions", session["id"])
        assert moved["start_time"] == session["start_time"] + by
        assert moved["status"] == ("scheduled" if is_approved else "pending_approval")
        assert booked(db, session) == holding(moved)


@pytest.mark.parametrize("side", ["therapist_id", "user_id"])
def test_a_session_that_gets_another_person_moves_its_booking_or_is_refused(
    practice: Practice, refused: Refused, side: str
) -> None:
    db = practice.db
    session = propose(db, practice.therapist, practice.client, p_start_time=TEN)
    other = practice.other_therapist if side == "therapist_id" else practice.other_client
    busy = propose(db, practice.other_therapist, practice.other_client, p_start_time=TEN)

    with taken(refused):
        change(db, "sessions", session["id"], **{side: other.id})
    call(db, practice.other_therapist, "cancel_session", p_session_id=busy["id"])
    change(db, "sessions", session["id"], **{side: other.id})

    assert booked(db, session) == holding(row(db, "sessions", session["id"]))
    before = practice.therapist if side == "therapist_id" else practice.client
    free_again = (
        (before, practice.other_client)
        if side == "therapist_id"
        else (practice.other_therapist, before)
    )
    if side == "therapist_id":
        assert propose(db, before, add_person(db, "individual"), p_start_time=TEN)
    else:
        assert propose(db, free_again[0], before, p_start_time=TEN)


def test_a_session_holds_its_time_only_while_it_needs_approval(
    practice: Practice, refused: Refused
) -> None:
    db = practice.db
    older = insert(db, practice.therapist, practice.client)
    assert booked(db, older) == []

    change(db, "sessions", older["id"], requires_approval=True)
    assert booked(db, older) == holding(older)
    change(db, "sessions", older["id"], requires_approval=False)
    assert booked(db, older) == []

    insert(db, practice.therapist, practice.other_client)
    with taken(refused):
        change(db, "sessions", older["id"], requires_approval=True)


def test_a_waiting_session_that_becomes_instant_frees_its_time(practice: Practice) -> None:
    db = practice.db
    session = propose(db, practice.therapist, practice.client, p_start_time=TEN)

    change(db, "sessions", session["id"], is_instant=True)
    assert booked(db, session) == []
    change(db, "sessions", session["id"], is_instant=False)
    assert booked(db, session) == holding(session)


def test_a_proposal_with_an_empty_instant_flag_holds_its_time(
    practice: Practice, refused: Refused
) -> None:
    db, therapist = practice.db, practice.therapist
    db.execute("alter table public.sessions alter is_instant drop not null")
    waiting = insert(
        *(db, therapist, practice.client),
        status="pending_approval",
        requires_approval=True,
        is_instant=None,
    )

    assert booked(db, waiting) == holding(waiting)
    with taken(refused):
        propose(db, therapist, practice.other_client, p_start_time=TEN)

    db.execute("delete from session_approval.bookings")
    insert(db, therapist, practice.other_client)
    change(db, "sessions", waiting["id"], notes="told")


def test_a_session_with_only_one_person_is_no_double_booking(practice: Practice) -> None:
    db = practice.db
    alone = insert(db, practice.therapist, practice.therapist, requires_approval=True)
    assert booked(db, alone) == [(practice.therapist.id, TEN, TEN + HALF)]

    db.execute("alter table public.sessions alter user_id drop not null")
    open_one = insert(db, practice.other_therapist, None, requires_approval=True)
    assert booked(db, open_one) == [(practice.other_therapist.id, TEN, TEN + HALF)]
    change(db, "sessions", open_one["id"], status="completed")
    assert booked(db, open_one) == []


# Sessions that free their time.


def decline(practice: Practice, session: Row) -> None:
    """The client declines."""
    call(practice.db, practice.client, "decline_session", p_session_id=session["id"])


def withdraw(practice: Practice, session: Row) -> None:
    """The therapist withdraws."""
    call(practice.db, practice.therapist, "cancel_session", p_session_id=session["id"])


def approved_then(
    person: Callable[[Practice], Person],
) -> Callable[[Practice, Row], None]:
    """Approved, and then called off by one of the two."""

    def end(practice: Practice, session: Row) -> None:
        approve(practice.db, practice.client, session)
        call(practice.db, person(practice), "cancel_session", p_session_id=session["id"])

    return end


def expire(practice: Practice, session: Row) -> None:
    """Nobody answers, and the sweep notices."""
    change(practice.db, "sessions", session["id"], approval_expires_at="now")
    call_as(practice.db, "service_role", None, "sweep_sessions")


def expire_unnoticed(practice: Practice, session: Row) -> None:
    """Nobody answers, and nobody notices."""
    change(practice.db, "sessions", session["id"], approval_expires_at="now")


def finish(practice: Practice, session: Row) -> None:
    """It takes place, and the therapist finishes it early."""
    approve(practice.db, practice.client, session)
    change(practice.db, "sessions", session["id"], status="in_progress")
    call(practice.db, practice.therapist, "finish_session", p_session_id=session["id"])


def delete(practice: Practice, session: Row) -> None:
    """Somebody deletes it."""
    practice.db.execute("delete from public.sessions where id = %s", (session["id"],))


def truncate(practice: Practice, _: Row) -> None:
    """Somebody empties the table."""
    practice.db.execute("truncate public.sessions")


@pytest.mark.parametrize(
    "end",
    [
        decline,
        withdraw,
        approved_then(lambda practice: practice.client),
        approved_then(lambda practice: practice.therapist),
        expire,
        expire_unnoticed,
        finish,
        delete,
        truncate,
    ],
    ids=[
        "declined",
        "withdrawn",
        "cancelled by its client",
        "cancelled by its therapist",
        "expired",
        "expired, not swept",
        "finished",
        "deleted",
        "truncated",
    ],
)
def test_a_session_that_has_ended_or_will_not_happen_frees_its_time(
    practice: Practice, end: Callable[[Practice, Row], None]
) -> None:
    db = practice.db
    session = propose(db, practice.therapist, practice.client, p_start_time=TEN)

    end(practice, session)

    if end is not expire_unnoticed:
        assert booked(db, session) == []
    second = propose(db, practice.therapist, practice.client, p_start_time=TEN)
    assert booked(db, second) == holding(second)
    assert booked(db, session) == []


def test_a_new_proposal_cancels_an_expired_one_as_the_sweep_does(
    practice: Practice, now: datetime
) -> None:
    db = practice.db
    session = propose(db, practice.therapist, practice.client, p_start_time=TEN)
    expire_unnoticed(practice, session)
    [shown] = call(db, practice.client, "list_sessions")

    propose(db, practice.therapist, practice.other_client, p_start_time=TEN)

    stored = row(db, "sessions", session["id"])
    assert (stored["status"], stored["cancellation_reason"]) == ("cancelled", "expired")
    assert (stored["cancelled_at"], stored["cancelled_by"]) == (now, None)
    latest = actors.events(db, session)[-1]
    assert (latest["actor_id"], latest["reason"]) == (None, "Nobody answered in time")
    assert call(db, practice.client, "list_sessions") == [shown]


# The setting.


def test_the_first_approval_wins_if_waiting_proposals_hold_no_time(
    practice: Practice, refused: Refused
) -> None:
    db, therapist = practice.db, practice.therapist
    configure(db, block_pending_slots=False)
    first = propose(db, therapist, practice.client, p_start_time=TEN)
    second = propose(db, therapist, practice.other_client, p_start_time=TEN)
    assert booked(db, first) == booked(db, second) == []

    approve(db, practice.other_client, second)
    with taken(refused):
        approve(db, practice.client, first)

    assert actors.balances(db, practice.client) == [10]
    assert booked(db, second) == holding(second)


def test_a_session_that_the_server_approves_directly_takes_its_time(
    practice: Practice,
) -> None:
    configure(practice.db, block_pending_slots=False)
    session = propose(practice.db, practice.therapist, practice.client, p_start_time=TEN)
    assert booked(practice.db, session) == []

    change(practice.db, "sessions", session["id"], status="scheduled")

    assert booked(practice.db, session) == holding(session)


def test_a_waiting_proposal_frees_its_time_when_the_setting_goes_off(
    practice: Practice, refused: Refused
) -> None:
    db, therapist = practice.db, practice.therapist
    first = propose(db, therapist, practice.client, p_start_time=TEN)
    configure(db, block_pending_slots=False)

    second = propose(db, therapist, practice.other_client, p_start_time=TEN)
    approve(db, practice.other_client, second)

    assert row(db, "sessions", first["id"])["status"] == "pending_approval"
    with taken(refused):
        approve(db, practice.client, first)


def test_an_earlier_proposal_can_be_approved_after_the_setting_goes_off(
    practice: Practice, refused: Refused
) -> None:
    db, therapist = practice.db, practice.therapist
    first = propose(db, therapist, practice.client, p_start_time=TEN)
    configure(db, block_pending_slots=False)
    second = propose(db, practice.other_therapist, practice.other_client, p_start_time=TEN)

    approve(db, practice.client, first)

    with taken(refused):
        change(db, "sessions", second["id"], therapist_id=therapist.id, status="scheduled")


def test_the_first_approval_wins_after_the_setting_goes_on_again(
    practice: Practice, refused: Refused
) -> None:
    db, therapist = practice.db, practice.therapist
    configure(db, block_pending_slots=False)
    first = propose(db, therapist, practice.client, p_start_time=TEN)
    third_client = add_person(db, "individual")
    lone = propose(db, practice.other_therapist, practice.other_client, p_start_time=TEN)
    configure(db, block_pending_slots=True)

    with taken(refused):
        propose(db, therapist, third_client, p_start_time=TEN)
    approve(db, practice.client, first)
    approve(db, practice.other_client, lone)

    assert booked(db, first) == holding(first)
    assert booked(db, lone) == holding(lone)


# Sessions of older code.


def test_sessions_of_older_code_block_proposals_and_are_never_refused(
    practice: Practice, refused: Refused
) -> None:
    db, therapist, client = practice.db, practice.therapist, practice.client
    propose(db, therapist, client, p_start_time=TEN)

    overlapping = insert(db, therapist, client)
    insert(db, therapist, client)
    later = insert(db, therapist, client, TEN + DAY, TEN + DAY + HALF)
    change(db, "sessions", overlapping["id"], end_time=TEN + 2 * HALF)

    with taken(refused):
        propose(db, therapist, practice.other_client, p_start_time=TEN + DAY)
    with taken(refused):
        propose(db, practice.other_therapist, client, p_start_time=TEN + DAY)
    change(db, "sessions", later["id"], status="cancelled")
    assert propose(db, therapist, client, p_start_time=TEN + DAY)
    assert booked(db, overlapping) == booked(db, later) == []


@pytest.mark.parametrize(
    ("status", "is_free"),
    [
        ("scheduled", False),
        ("confirmed", False),
        ("in_progress", False),
        ("completed", True),
        ("no_show", True),
        ("cancelled", True),
    ],
)
def test_an_older_session_blocks_a_proposal_only_if_it_can_still_happen(
    practice: Practice, refused: Refused, status: str, is_free: bool
) -> None:
    insert(practice.db, practice.therapist, practice.client, status=status)

    if is_free:
        assert propose(practice.db, practice.therapist, practice.client, p_start_time=TEN)
    else:
        with taken(refused):
            propose(practice.db, practice.therapist, practice.client, p_start_time=TEN)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, None),
        (TEN, None),
        (None, TEN),
        (TEN, TEN),
        (TEN + HALF, TEN),
        ("-infinity", "infinity"),
        (TEN, "infinity"),
    ],
    ids=str,
)
@pytest.mark.parametrize("requires_approval", [False, None, True])
def test_invalid_times_never_break_a_write(
    practice: Practice,
    start: datetime | str | None,
    end: datetime | str | None,
    requires_approval: bool | None,
) -> None:
    db = practice.db
    db.execute(
        "alter table public.sessions alter start_time drop not null, alter end_time drop not null,"
        " drop constraint a_session_ends_after_it_starts,"
        " alter requires_approval drop not null"
    )
    session = {"id": uuid4()}
    db.execute(
        "insert into public.sessions"
        " (id, therapist_id, user_id, start_time, end_time, requires_approval)"
        " values (%s, %s, %s, %s, %s, %s)",
        (
            session["id"],
            practice.therapist.id,
            practice.client.id,
            start,
            end,
            requires_approval,
        ),
    )

    change(db, "sessions", session["id"], status="confirmed")
    db.execute("select from session_approval.double_bookings")
    if end != "infinity":
        propose(db, practice.therapist, practice.client, p_start_time=TEN + DAY)
    change(db, "sessions", session["id"], start_time=end, end_time=start)
    change(db, "sessions", session["id"], status="cancelled")
    db.execute("delete from public.sessions where id = %s", (session["id"],))


def test_a_session_of_zero_length_is_approved_at_a_taken_time(
    practice: Practice,
) -> None:
    db, therapist, client = practice.db, practice.therapist, practice.client
    db.execute("alter table public.sessions drop constraint a_session_ends_after_it_starts")
    propose(db, therapist, practice.other_client, p_start_time=TEN)
    at_once = {"start_time": TEN + HALF / 2, "end_time": TEN + HALF / 2}
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], **at_once)

    assert approve(db, client, session)["status"] == "scheduled"
    assert booked(db, session) == []


@pytest.mark.parametrize(("end", "pairs"), [("now", 0), ("tomorrow", 1)])
def test_double_bookings_in_the_past_are_not_listed(
    practice: Practice, end: str, pairs: int
) -> None:
    db = practice.db
    db.execute("alter table public.sessions disable trigger user")
    for client in (practice.client, practice.other_client):
        insert(db, practice.therapist, client, "yesterday", end, requires_approval=True)

    found = db.execute("select from session_approval.double_bookings").fetchall()

    assert len(found) == pairs


def test_a_session_without_an_end_ends_after_its_duration(
    practice: Practice, refused: Refused
) -> None:
    db = practice.db
    db.execute("alter table public.sessions alter end_time drop not null")
    insert(db, practice.therapist, practice.client, TEN, None, duration_minutes=45)
    ours = insert(
        db,
        practice.other_therapist,
        practice.other_client,
        TEN,
        None,
        duration_minutes=45,
        requires_approval=True,
    )

    assert booked(db, ours)[0][2] == TEN + timedelta(minutes=45)
    with taken(refused):
        propose(db, practice.therapist, practice.other_client, p_start_time=TEN + HALF)
    assert propose(
        db, practice.therapist, practice.other_client, p_start_time=TEN + timedelta(minutes=45)
    )


# Installing when sessions already overlap.


def test_the_installation_keeps_overlapping_sessions_and_lists_the_pairs(
    own_database: str,
) -> None:
    with actors.connect(own_database) as db:
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        other = add_person(db, "individual")
        give_credits(db, client, 5)
        db.execute("alter table public.sessions disable trigger user")
        start = datetime.now(UTC).replace(microsecond=0)
        approved, overlapping = (
            insert(db, therapist, person, start, start + HALF, requires_approval=True)
            for person in (client, other)
        )
        waiting = insert(
            db,
            therapist,
            client,
            TEN,
            TEN + HALF,
            requires_approval=True,
            status="pending_approval",
        )
        older = insert(db, therapist, other)
        db.execute("alter table public.sessions drop constraint a_session_ends_after_it_starts")
        momentary = insert(db, therapist, client, TEN + DAY, TEN + DAY, requires_approval=True)
        over = insert(db, therapist, client, start - DAY, start, requires_approval=True)
        db.execute("alter table public.sessions alter user_id drop not null")
        open_one = insert(db, therapist, None, TEN + 2 * DAY, TEN + 3 * DAY, requires_approval=True)
        change(db, "sessions", approved["id"], created_at="2020-01-01")  # and so is the last stored
        one_after_another = [
            insert(db, therapist, other, begin, begin + HALF, requires_approval=True)
            for begin in (TEN + DAY, TEN + DAY + HALF)
        ]
        db.execute("alter table public.sessions enable trigger user")
        db.execute("truncate session_approval.bookings")

        for _ in range(2):
            psql.apply(own_database, [psql.INSTALL])
            pairs = db.execute("select * from session_approval.double_bookings").fetchall()
            assert {
                (pair["person_id"], frozenset((pair["session_id"], pair["other_session_id"])))
                for pair in pairs
            } == {
                (therapist.id, frozenset((approved["id"], overlapping["id"]))),
                (therapist.id, frozenset((waiting["id"], older["id"]))),
            }
            assert len(pairs) == 2
            assert booked(db, approved) == holding(approved)
            assert [person for person, *_ in booked(db, overlapping)] == [other.id]
            assert booked(db, momentary) == booked(db, over) == booked(db, older) == []
            assert booked(db, open_one) == [(therapist.id, TEN + 2 * DAY, TEN + 3 * DAY)]
            assert booked(db, waiting) == holding(waiting)
            for session in one_after_another:
                assert booked(db, session) == holding(session)

        # Both sessions can still be joined and finished.
        for session, person in ((overlapping, other), (approved, client)):
            call(db, person, "join_session", p_session_id=session["id"])
            change(db, "sessions", session["id"], notes="told")
            call(db, therapist, "finish_session", p_session_id=session["id"])
        assert (
            db.execute("select count(*) as n from session_approval.double_bookings").fetchall()[0][
                "n"
            ]
            == 1
        )


def test_the_notes_of_a_proposal_can_change_when_its_time_is_taken(
    practice: Practice,
) -> None:
    db = practice.db
    session = propose(db, practice.therapist, practice.client, p_start_time=TEN)
    db.execute("delete from session_approval.bookings where session_id = %s", (session["id"],))
    insert(db, practice.therapist, practice.other_client)

    change(db, "sessions", session["id"], notes="told")

    assert booked(db, session) == []


# What a refusal says.


def test_a_conflict_shows_details_only_of_the_callers_own_sessions(
    practice: Practice, refused: Refused, now: datetime
) -> None:
    db, therapist, client = practice.db, practice.therapist, practice.client
    session = propose(db, therapist, client, p_start_time=TEN, p_title="First talk")
    theirs = propose(
        db, practice.other_therapist, practice.other_client, p_start_time=TEN, p_title="Private"
    )
    times = {"start_time": "2030-01-01T10:00:00+00:00", "end_time": "2030-01-01T10:30:00+00:00"}

    with taken(refused) as refusal:
        propose(db, therapist, practice.other_client, p_start_time=TEN)
    assert sorted(refusal.details["conflicting_sessions"], key=len) == [
        times,
        {**times, "id": str(session["id"])},
    ]
    with taken(refused) as refusal:
        propose(db, add_person(db, "therapist"), client, p_start_time=TEN)
    assert refusal.details["conflicting_sessions"] == [times]
    assert str(theirs["id"]) not in json.dumps(refusal.details)

    instant = propose(db, therapist, practice.other_client, p_is_instant=True)
    blocking = insert(db, therapist, client, now, now + HALF, title="Secret")
    with taken(refused) as refusal:
        approve(db, practice.other_client, instant)
    [conflict] = refusal.details["conflicting_sessions"]
    assert conflict.keys() == {"start_time", "end_time"}
    assert datetime.fromisoformat(conflict["start_time"]) == blocking["start_time"]


def test_conflicts_are_listed_earliest_first(practice: Practice, refused: Refused) -> None:
    db, therapist, client = practice.db, practice.therapist, practice.client
    for start in (TEN + 2 * HALF, TEN, TEN + HALF):
        propose(db, therapist, client, p_start_time=start)

    with taken(refused) as refusal:
        propose(db, therapist, client, p_start_time=TEN, p_duration_minutes=90)

    starts = [conflict["start_time"][11:16] for conflict in refusal.details["conflicting_sessions"]]
    assert starts == ["10:00", "10:30", "11:00"]


def best_times(
    busy: list[tuple[datetime, datetime]],
    wanted: datetime,
    minutes: int,
    buffer: timedelta,
    now: datetime,
) -> list[datetime]:
    """Return the five nearest free quarters of an hour within a week, by trying them all."""
    grid = wanted.replace(minute=wanted.minute // 15 * 15, second=0, microsecond=0)
    quarters = [grid + timedelta(minutes=15 * step) for step in range(-7 * 96, 7 * 96 + 1)]
    free = [
        at
        for at in quarters
        if at > now
        and at <= wanted + 7 * DAY
        and not any(
            at < end + buffer and at + timedelta(minutes=minutes) > start - buffer
            for start, end in busy
        )
    ]
    return sorted(free, key=lambda at: (abs(at - wanted), at))[:5]


@pytest.mark.parametrize(
    ("wanted", "minutes", "buffer"),
    [
        (TEN, 30, 0),
        (TEN + timedelta(minutes=7), 50, 0),
        (TEN + timedelta(minutes=20), 480, 0),
        (TEN + HALF, 45, 20),
        (TEN + timedelta(hours=1), 5, 7),
        (TEN + timedelta(hours=1), 30, 24 * 60),
        (None, 30, 0),
    ],
)
def test_suggested_times_are_the_nearest_times_that_are_free_for_both(
    practice: Practice,
    refused: Refused,
    now: datetime,
    wanted: datetime | None,
    minutes: int,
    buffer: int,
) -> None:
    db, therapist, client = practice.db, practice.therapist, practice.client
    soon = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    at = wanted or soon + timedelta(minutes=5)
    day = at.replace(hour=10, minute=0)
    busy = []
    sessions = [
        (therapist, practice.other_client, 0, 30, False),
        (practice.other_therapist, client, 30, 20, False),
        (therapist, practice.other_client, 60, 50, True),
        (practice.other_therapist, client, 200, 480, True),
        (therapist, client, -100, 40, True),
        (therapist, client, -6 * 24 * 60, 1200, True),
    ]
    if wanted is None:
        day = soon
    for whose, who, offset, long, is_legacy in sessions:
        begins = day + timedelta(minutes=offset)
        ends = begins + timedelta(minutes=long)
        insert(db, whose, who, begins, ends, requires_approval=not is_legacy)
        busy.append((begins, ends))
    far = insert(db, therapist, client, at + 7 * DAY, at + 7 * DAY + 2 * HALF)
    busy.append((far["start_time"], far["end_time"]))
    # These sessions do not block the wanted time.
    insert(db, practice.other_therapist, practice.other_client, at - HALF, at + HALF)
    db.execute("alter table public.sessions drop constraint a_session_ends_after_it_starts")
    insert(db, therapist, practice.other_client, at - HALF, at - HALF)
    configure(db, buffer=timedelta(minutes=buffer))
    proposal = {"p_duration_minutes": minutes}

    with taken(refused) as refusal:
        propose(db, therapist, client, p_start_time=at, **proposal)

    suggested = refusal.details["suggested_times"]
    times = [datetime.fromisoformat(suggestion["time"]) for suggestion in suggested]
    assert times == best_times(busy, at, minutes, timedelta(minutes=buffer), now)
    assert len(times) == 5
    assert all(set(suggestion) == {"time", "label"} for suggestion in suggested)
    for time in times:
        with db.transaction(force_rollback=True):
            assert propose(db, therapist, client, p_start_time=time, **proposal)


def test_a_refusal_suggests_no_times_if_no_time_is_free(
    practice: Practice, refused: Refused
) -> None:
    db = practice.db
    for day in range(-9, 9):
        start = TEN + day * DAY
        insert(db, practice.therapist, practice.client, start, start + DAY)

    with taken(refused) as refusal:
        propose(db, practice.therapist, practice.client, p_start_time=TEN)

    assert refusal.details["suggested_times"] == []


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Europe/London", None])
@pytest.mark.parametrize("server_zone", ["UTC", "Asia/Tokyo"])
def test_labels_use_the_time_zone_of_the_caller_or_else_of_the_proposal(
    practice: Practice, refused: Refused, zone: str | None, server_zone: str
) -> None:
    db = practice.db
    db.execute("select set_config('timezone', %s, true)", (server_zone,))
    if zone:
        db.execute(
            "create or replace view session_approval.people as select u.id, u.full_name, u.email,"
            " u.user_type, u.is_active, case when u.id = '" + str(practice.therapist.id) + "'"
            f" then '{zone}' end::text as time_zone from public.users u"
        )
    propose(db, practice.therapist, practice.client, p_start_time=TEN)

    with taken(refused) as refusal:
        propose(
            db,
            practice.therapist,
            practice.client,
            p_start_time=TEN,
            p_time_zone="Australia/Lord_Howe",
        )

    for suggestion in refusal.details["suggested_times"]:
        assert suggestion["time"].endswith("+00:00")
        local = datetime.fromisoformat(suggestion["time"]).astimezone(
            ZoneInfo(zone or "Australia/Lord_Howe")
        )
        assert suggestion["label"] == f"{local:%a} {local.day} {local:%b, %H:%M}"


# Races, one step at a time.


@dataclass(frozen=True)
class Race:
    """One writer whose transaction stays open, and another who comes second."""

    owner: Connection
    first: Connection
    second: Connection
    therapist: Person
    client: Person
    other_client: Person

    def overtaken(self, act: Callable[[Connection], Any], *, commits: bool = True) -> Any:
        """Start something on the second connection, see it wait, end the first, and answer."""
        answer = overtaken(self.owner, self.first, self.second, act, commits=commits)
        return answer.exception() or answer.result()

    def proposing(self, client: Person) -> Callable[[Connection], Row]:
        """The act of proposing the time that everybody wants."""
        return lambda db: propose(db, self.therapist, client, p_start_time=TEN)


@pytest.fixture
def race(own_database: str) -> Iterator[Race]:
    """A race in a database of its own."""
    with ExitStack() as stack:
        owner, first, second = (
            stack.enter_context(actors.connect(own_database, autocommit=autocommit))
            for autocommit in (True, False, True)
        )
        race = Race(
            owner,
            first,
            second,
            add_person(owner, "therapist"),
            add_person(owner, "individual"),
            add_person(owner, "individual"),
        )
        first.execute("select")
        second.execute("set lock_timeout = '5s'")
        yield race


def is_conflict(answer: Any) -> bool:
    """Whether somebody was told that the time is taken."""
    return isinstance(answer, psycopg.Error) and answer.diag.message_hint == "TIME_SLOT_CONFLICT"


@pytest.mark.parametrize("commits", [True, False])
def test_a_proposal_waits_for_another_and_is_refused_if_the_other_commits(
    race: Race, commits: bool
) -> None:
    race.proposing(race.client)(race.first)

    answer = race.overtaken(race.proposing(race.other_client), commits=commits)

    assert is_conflict(answer) == commits
    assert isinstance(answer, dict) != commits


@pytest.mark.parametrize(
    ("columns", "commits"),
    [
        ({}, True),
        ({}, False),
        ({"status": "pending_approval"}, True),
        ({"requires_approval": None}, True),
        ({"end": None, "duration_minutes": 45}, True),
    ],
    ids=str,
)
def test_a_proposal_waits_for_an_older_insert_and_is_refused_if_it_commits(
    race: Race, columns: dict[str, Any], commits: bool
) -> None:
    race.owner.execute(
        "alter table public.sessions alter end_time drop not null,"
        " alter requires_approval drop not null"
    )
    insert(race.first, race.therapist, race.client, **columns)

    answer = race.overtaken(race.proposing(race.other_client), commits=commits)

    assert is_conflict(answer) == commits


def test_a_proposal_for_today_waits_for_an_older_insert_of_today(race: Race) -> None:
    soon = datetime.now(UTC) + timedelta(hours=2)
    insert(race.first, race.therapist, race.client, soon, soon + HALF)

    answer = race.overtaken(
        lambda db: propose(db, race.therapist, race.other_client, p_start_time=soon)
    )

    assert is_conflict(answer)


def test_an_approval_waits_for_another_approval_of_the_same_time(
    race: Race,
) -> None:
    session = race.proposing(race.client)(race.owner)
    configure(race.owner, block_pending_slots=False)
    rival = race.proposing(race.other_client)(race.owner)
    for client in (race.client, race.other_client):
        give_credits(race.owner, client, 1)
    approve(race.first, race.client, session)

    answer = race.overtaken(lambda db: approve(db, race.other_client, rival))

    assert is_conflict(answer)
    assert booked(race.owner, session) == holding(session)


def test_older_code_never_waits_for_a_proposal_and_is_never_refused(race: Race) -> None:
    race.proposing(race.client)(race.first)

    session = insert(race.second, race.therapist, race.client)
    change(race.second, "sessions", session["id"], end_time=TEN + 2 * HALF)
    change(race.second, "sessions", session["id"], status="completed")
    race.second.execute("delete from public.sessions where id = %s", (session["id"],))
    insert(race.second, race.therapist, race.client)
    race.first.commit()

    [pair] = race.owner.execute("select * from session_approval.double_bookings limit 1").fetchall()
    assert pair["during"].lower == TEN


def test_a_taken_time_is_refused_while_its_session_is_being_changed(
    race: Race,
) -> None:
    session = race.proposing(race.client)(race.owner)
    change(race.first, "sessions", session["id"], notes="written to")
    race.second.execute("set local lock_timeout = '2s'")

    with pytest.raises(psycopg.Error) as refused:
        race.proposing(race.other_client)(race.second)

    assert is_conflict(refused.value)


def test_a_proposal_cancels_expired_proposals_only_of_its_own_people(
    practice: Practice,
) -> None:
    db = practice.db
    theirs = propose(db, practice.other_therapist, practice.other_client, p_start_time=TEN)
    change(db, "sessions", theirs["id"], approval_expires_at="yesterday")

    propose(db, practice.therapist, practice.client, p_start_time=TEN)

    assert row(db, "sessions", theirs["id"])["status"] == "pending_approval"


@pytest.mark.parametrize("under_way", ["a proposal", "another older insert"])
def test_a_proposal_sees_an_older_insert_that_began_during_another_write(
    race: Race, own_database: str, under_way: str
) -> None:
    if under_way == "a proposal":
        propose(race.first, race.therapist, race.client, p_start_time=TEN + DAY)
    else:
        insert(race.first, race.therapist, race.client, TEN + DAY, TEN + DAY + HALF)
    with actors.connect(own_database, autocommit=False) as older:
        insert(older, race.therapist, race.client)
        race.first.commit()

        act = race.proposing(race.other_client)
        answer = overtaken(race.owner, older, race.second, act)
        assert is_conflict(answer.exception())


def test_an_older_import_of_thousands_of_sessions_does_not_wait(race: Race) -> None:
    race.proposing(race.client)(race.first)

    race.second.execute(
        "insert into public.users (id, email, full_name, user_type)"
        " select gen_random_uuid(), n || '@example.com', n, 'individual'"
        " from generate_series(1, 20000) n"
    )
    race.second.execute(
        "insert into public.sessions (therapist_id, user_id, start_time, end_time)"
        " select %s, u.id, 'tomorrow', 'tomorrow 12:00' from public.users u"
        " where u.user_type = 'individual'",
        (race.therapist.id,),
    )
    race.first.rollback()


def test_a_proposal_is_refused_if_an_expiring_proposal_was_just_approved(race: Race) -> None:
    session = race.proposing(race.client)(race.owner)
    give_credits(race.owner, race.client, 1)
    race.first.execute("select")
    approve(race.first, race.client, session)
    with ThreadPoolExecutor(1) as pool:
        race.second.execute("begin")
        # To the second the first's session has run out; what counts is that it was approved.
        race.first.commit()
        answer = pool.submit(race.proposing(race.other_client), race.second)
        assert is_conflict(answer.exception(20))
    race.second.execute("rollback")


def test_an_expired_proposal_that_gets_more_time_keeps_its_time(race: Race) -> None:
    session = race.proposing(race.client)(race.owner)
    change(race.owner, "sessions", session["id"], approval_expires_at="yesterday")
    change(race.first, "sessions", session["id"], approval_expires_at=TEN)

    assert is_conflict(race.overtaken(race.proposing(race.other_client)))
    assert row(race.owner, "sessions", session["id"])["status"] == "pending_approval"


def test_expired_sessions_are_locked_in_the_order_of_their_ids(
    race: Race, own_database: str
) -> None:
    quarters = [TEN + HALF / 2 * number for number in range(8)]
    sessions = [
        propose(race.owner, race.therapist, race.client, p_start_time=at, p_duration_minutes=15)
        for at in quarters
    ]
    race.owner.execute("update public.sessions set approval_expires_at = 'yesterday'")
    ids = sorted(session["id"] for session in sessions)
    lock = "select id from public.sessions where id = any (%s) for no key update"
    race.first.execute(lock, (ids[3:4],))
    race.second.execute("set enable_sort = off")

    with ThreadPoolExecutor(1) as pool, actors.connect(own_database) as third:
        answer = pool.submit(
            lambda: propose(
                race.second,
                race.therapist,
                race.other_client,
                p_start_time=TEN,
                p_duration_minutes=120,
            )
        )
        wait_until_blocked(race.owner, race.second)
        free = third.execute(f"{lock} skip locked", (ids,)).fetchall()
        race.first.rollback()
        assert sorted(session["id"] for session in free) == ids[4:]
        assert answer.result(20)["status"] == "pending_approval"


def test_calendars_are_locked_in_the_order_of_peoples_ids(race: Race) -> None:
    ids = sorted(uuid4() for _ in range(8))
    locking = "select session_approval.lock_calendars(%s)"
    race.first.execute(locking, (ids[3:4],))
    race.second.execute("set enable_sort = off")

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(race.second.execute, locking, (ids[::-1],))
        wait_until_blocked(race.owner, race.second)
        free = race.owner.execute(
            "select id from unnest(%s) id"
            " where pg_try_advisory_xact_lock(session_approval.calendar_key(id))",
            (ids,),
        ).fetchall()
        race.first.rollback()
        assert [person["id"] for person in free] == ids[4:]
        assert answer.result(20).fetchall()


@pytest.mark.parametrize("commits", [True, False])
def test_a_move_of_an_expired_proposal_and_a_new_proposal_do_not_deadlock(
    race: Race, commits: bool
) -> None:
    session = race.proposing(race.client)(race.owner)
    change(race.owner, "sessions", session["id"], approval_expires_at="yesterday")
    race.first.execute(
        "select from public.sessions where id = %s for no key update", (session["id"],)
    )
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(race.proposing(race.other_client), race.second)
        wait_until_blocked(race.owner, race.second)
        change(
            race.first,
            "sessions",
            session["id"],
            start_time=TEN + HALF / 2,
            approval_expires_at=TEN,
        )
        if commits:
            race.first.commit()
        else:
            race.first.rollback()
        error = answer.exception(20)

    assert is_conflict(error) == commits
