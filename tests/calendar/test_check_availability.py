"""Asking the calendar: the same answer as a proposal would get, holding nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

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
    forget_kind,
    give_credits,
    propose,
    read_in_storage_order,
)
from tests.conftest import Refused

CHECK = "check_availability"
TEN = datetime(2030, 1, 1, 10, tzinfo=UTC)
HALF = timedelta(minutes=30)
FREE = {
    "available": True,
    "outside_hours": None,
    "conflicting_sessions": [],
    "suggested_times": [],
}
TIMES = {"start_time": "2030-01-01T10:00:00+00:00", "end_time": "2030-01-01T10:30:00+00:00"}


def check(db: Connection, therapist: Person, start: Any = TEN, **arguments: Any) -> Row:
    """Ask whether a therapist is free."""
    [answer] = call(db, therapist, CHECK, p_start_time=start, **arguments)
    return answer


def test_a_free_time_is_available_and_the_check_changes_nothing(
    db: Connection, therapist: Person, client: Person
) -> None:
    before = contents(db)

    assert check(db, therapist) == FREE
    for minutes in (5, 480):
        assert check(db, therapist, p_patient_id=client.id, p_duration_minutes=minutes) == FREE

    assert contents(db) == before
    assert db.execute("select from session_approval.bookings").fetchall() == []
    assert propose(db, therapist, client, p_start_time=TEN)


@pytest.mark.parametrize("is_approved", [False, True], ids=["waiting", "approved"])
def test_a_taken_time_shows_its_conflicts_and_other_free_times(
    db: Connection, therapist: Person, client: Person, is_approved: bool
) -> None:
    session = propose(db, therapist, client, p_start_time=TEN, p_title="First talk")
    if is_approved:
        give_credits(db, client)
        approve(db, client, session)

    answer = check(db, therapist)

    assert answer["available"] is False
    told = {**TIMES, "id": str(session["id"]), "title": "First talk"}
    assert answer["conflicting_sessions"] == [{**told, "client_name": client.full_name}]
    assert answer["suggested_times"] == [
        {"time": f"2030-01-01T{time}:00+00:00", "label": f"Tue 1 Jan, {time}"}
        for time in ("09:30", "10:30", "09:15", "10:45", "09:00")
    ]


def test_the_check_gives_the_same_answer_as_a_proposal(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    propose(db, therapist, stranger, p_start_time=TEN)
    propose(db, add_person(db, "therapist"), client, p_start_time=TEN + HALF)
    wanted = {"p_start_time": TEN, "p_duration_minutes": 50}

    answer = check(
        db, therapist, wanted["p_start_time"], p_duration_minutes=50, p_patient_id=client.id
    )
    with refused(409, "TIME_SLOT_CONFLICT") as refusal:
        propose(db, therapist, client, **wanted)

    asked = {"start_time": TIMES["start_time"], "duration_minutes": 50}
    named = [("title", "Custom session"), ("client_name", stranger.full_name)]
    assert answer == {
        **FREE,
        "available": False,
        "conflicting_sessions": [
            {**conflict, **(dict(named) if "id" in conflict else {})}
            for conflict in refusal.details["conflicting_sessions"]
        ],
        "suggested_times": refusal.details["suggested_times"],
    }
    assert asked.items() <= refusal.details.items()
    assert len([conflict for conflict in answer["conflicting_sessions"] if "id" in conflict]) == 1
    assert len(answer["conflicting_sessions"]) == 2
    for suggestion in answer["suggested_times"]:
        assert (
            check(db, therapist, suggestion["time"], p_duration_minutes=50, p_patient_id=client.id)
            == FREE
        )


def test_the_clients_sessions_count_only_on_request_and_show_only_times(
    db: Connection, therapist: Person, client: Person
) -> None:
    propose(db, add_person(db, "therapist"), client, p_start_time=TEN, p_title="Private")

    assert check(db, therapist) == FREE
    answer = check(db, therapist, p_patient_id=client.id)

    assert (answer["available"], answer["conflicting_sessions"]) == (False, [TIMES])


def test_sessions_of_older_code_count(db: Connection, therapist: Person, client: Person) -> None:
    db.execute(
        "insert into public.sessions (therapist_id, user_id, start_time, end_time)"
        " values (%s, %s, %s, %s)",
        (therapist.id, client.id, TEN, TEN + HALF),
    )

    assert check(db, therapist)["available"] is False
    assert check(db, therapist, TEN + HALF) == FREE


def test_waiting_instant_sessions_and_expired_proposals_do_not_count(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    propose(db, therapist, client, p_is_instant=True)
    session = propose(db, therapist, client, p_start_time=TEN)
    change(db, "sessions", session["id"], approval_expires_at="now")

    assert check(db, therapist) == FREE
    assert check(db, therapist, now + timedelta(minutes=1)) == FREE


def test_the_settings_count(db: Connection, therapist: Person, client: Person) -> None:
    propose(db, therapist, client, p_start_time=TEN)
    configure(db, buffer="10 minutes")
    assert check(db, therapist, TEN + timedelta(minutes=39))["available"] is False
    assert check(db, therapist, TEN + timedelta(minutes=40)) == FREE

    configure(db, block_pending_slots=False)
    assert check(db, therapist) == FREE


def test_a_therapist_can_leave_out_an_own_session_to_move_it(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client, p_start_time=TEN)

    moved = check(
        db, therapist, TEN + HALF / 2, p_exclude_session_id=session["id"], p_patient_id=client.id
    )
    assert moved == FREE
    propose(db, therapist, client, p_start_time=TEN + HALF)
    blocked = check(db, therapist, TEN + HALF / 2, p_exclude_session_id=session["id"])
    assert len(blocked["conflicting_sessions"]) == 1
    nearest = blocked["suggested_times"][0]["time"]
    assert nearest == "2030-01-01T10:00:00+00:00"


def test_a_therapist_cannot_leave_out_a_session_of_another_therapist(
    db: Connection, therapist: Person, client: Person
) -> None:
    theirs = propose(db, add_person(db, "therapist"), client, p_start_time=TEN)

    for left_out in (theirs["id"], uuid4()):
        answer = check(db, therapist, p_patient_id=client.id, p_exclude_session_id=left_out)
        assert answer["conflicting_sessions"] == [TIMES]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Londn5", None])
@pytest.mark.parametrize("server_zone", ["UTC", "Australia/Lord_Howe"])
def test_times_are_in_utc_and_labels_use_the_therapists_time_zone(
    db: Connection, therapist: Person, client: Person, zone: str | None, server_zone: str
) -> None:
    configure(db, default_time_zone="Europe/London")
    if zone:
        db.execute(
            "create or replace view session_approval.people as select u.id, u.full_name, u.email,"
            f" u.user_type, u.is_active, '{zone}'::text as time_zone from public.users u"
        )
    at = TEN + timedelta(days=181)
    propose(db, therapist, client, p_start_time=at)
    db.execute("select set_config('timezone', %s, true)", (server_zone,))

    answer = check(db, therapist, at)

    assert answer["conflicting_sessions"][0]["start_time"] == "2030-07-01T10:00:00+00:00"
    assert len(answer["suggested_times"]) == 5
    for suggestion in answer["suggested_times"]:
        assert suggestion["time"].endswith("+00:00")
        local = datetime.fromisoformat(suggestion["time"]).astimezone(
            ZoneInfo("Europe/London" if zone in (None, "Londn5") else zone)
        )
        assert suggestion["label"] == f"{local:%a} {local.day} {local:%b, %H:%M}"


def test_every_field_that_is_wrong_is_named(
    db: Connection, therapist: Person, now: datetime, refused: Refused
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        check(db, therapist, now, p_duration_minutes=4, p_patient_id=uuid4())

    assert refusal.message == "The question is not valid"
    assert refusal.details == {
        "start_time": "must be in the future",
        "duration_minutes": "must be a whole number of minutes from 5 to 480",
        "patient_id": "must be a client to whom you can propose sessions",
    }


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"p_start_time": None}, "start_time"),
        ({"p_start_time": "2030-01-01T10:00:00"}, "start_time"),
        ({"p_start_time": "tomorrow"}, "start_time"),
        ({"p_start_time": "infinity"}, "start_time"),
        ({"p_start_time": "-infinity"}, "start_time"),
        ({"p_start_time": "2200-01-01"}, "start_time"),
        ({"p_start_time": "294276-12-31 23:59"}, "start_time"),
        ({"p_duration_minutes": 481}, "duration_minutes"),
        ({"p_duration_minutes": -30}, "duration_minutes"),
        ({"p_duration_minutes": 2147483647}, "duration_minutes"),
    ],
)
def test_impossible_times_are_refused(
    db: Connection, therapist: Person, refused: Refused, arguments: dict[str, Any], field: str
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        call(db, therapist, CHECK, **{"p_start_time": TEN, **arguments})

    assert list(refusal.details) == [field]


def test_only_active_clients_can_be_asked_about(
    db: Connection, therapist: Person, refused: Refused
) -> None:
    for person in (
        therapist,
        add_person(db, "therapist"),
        add_person(db, "partner"),
        add_person(db, "individual", is_active=False),
    ):
        with refused(400, "VALIDATION_ERROR") as refusal:
            check(db, therapist, p_patient_id=person.id)
        assert list(refusal.details) == ["patient_id"]


def test_a_therapist_gets_an_answer_before_any_client_exists(
    db: Connection, therapist: Person
) -> None:
    assert check(db, therapist) == FREE


def test_only_active_therapists_can_check_the_calendar(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    with refused(403, "AUTHORIZATION_ERROR") as refusal:
        check(db, client)
    assert refusal.message == "Only a therapist can look into the calendar"

    somebody = add_person(db, "therapist")
    forget_kind(db, somebody)
    with refused(403, "AUTHORIZATION_ERROR"):
        check(db, somebody)

    change(db, "users", therapist.id, is_active=False)
    with refused(403, "AUTHORIZATION_ERROR"):
        check(db, therapist)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, CHECK, p_start_time=TEN)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", therapist, CHECK, p_start_time=TEN)


def test_the_answer_lists_the_first_ten_conflicts_in_order(
    db: Connection, therapist: Person, client: Person
) -> None:
    starts = [TEN + timedelta(minutes=30 * n) for n in range(11)]
    for start in reversed(starts):
        db.execute(
            "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
            " values (%s, %s, %s, %s)",
            (client.id, therapist.id, start, start + timedelta(minutes=30)),
        )
    read_in_storage_order(db)

    told = check(db, therapist, p_duration_minutes=480)["conflicting_sessions"]

    assert [datetime.fromisoformat(session["start_time"]) for session in told] == starts[:10]


@pytest.mark.parametrize("side", [-1, 1])
def test_the_buffer_counts_for_sessions_just_outside_the_week(
    db: Connection, therapist: Person, client: Person, side: int
) -> None:
    pause = timedelta(minutes=15)
    edge = TEN + side * timedelta(days=7)
    configure(db, buffer=pause)

    def insert(start: datetime, end: datetime) -> None:
        db.execute(
            "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
            " values (%s, %s, %s, %s)",
            (client.id, therapist.id, start, end),
        )

    for n in range(28):  # the week before and the week after, but for the edge
        begin = TEN - timedelta(days=7) + n * timedelta(hours=12)
        end = begin + timedelta(hours=12)
        if side < 0 and n == 0:
            begin += HALF + pause
        if side > 0 and n == 27:
            end -= pause
        insert(begin, end)

    times = [told["time"] for told in check(db, therapist)["suggested_times"]]
    assert [datetime.fromisoformat(time) for time in times] == [edge]

    if side < 0:
        insert(edge - HALF, edge)
    else:
        insert(edge + HALF, edge + 2 * HALF)
    assert check(db, therapist)["suggested_times"] == []


def test_a_time_just_outside_the_week_is_not_suggested(
    db: Connection, therapist: Person, client: Person
) -> None:
    wanted = TEN + timedelta(minutes=7)
    db.execute(  # on every quarter of an hour, from the last before the week on
        "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
        " select %s, %s, at, at + interval '5 minutes'"
        " from generate_series(%s, %s, interval '15 minutes') at",
        (client.id, therapist.id, TEN - timedelta(days=7), TEN + timedelta(days=8)),
    )

    answer = check(db, therapist, wanted, p_duration_minutes=10)

    assert (answer["available"], answer["suggested_times"]) == (False, [])
