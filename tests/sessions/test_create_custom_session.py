"""Proposing: a session that waits, costs nothing, and is made once however often it is sent."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import uuid4

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
    configure,
    events,
    forget_kind,
    free_slot,
    give_credits,
    propose,
    row,
)
from tests.conftest import Refused

CREATE = "create_custom_session"


def test_a_proposal_waits_for_the_client_and_costs_nothing(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    give_credits(db, client, 2)

    session = propose(db, therapist, client, p_start_time=now + timedelta(hours=5))

    assert session["status"] == "pending_approval"
    assert session["requires_approval"] is True
    assert (session["user_id"], session["therapist_id"]) == (client.id, therapist.id)
    assert (session["created_by"], session["created_at"]) == (therapist.id, now)
    assert session["start_time"] == now + timedelta(hours=5)
    assert session["approved_at"] is None
    assert session["beside"]["message"] == "Session proposed. Waiting for the client's approval."
    assert balances(db, client) == [2]
    [event] = events(db, session)
    assert (event["from_status"], event["to_status"]) == (None, "pending_approval")
    assert event["actor_id"] == therapist.id


def test_a_field_that_is_left_out_has_a_default(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)

    assert session["duration_minutes"] == 30
    assert session["end_time"] == session["start_time"] + timedelta(minutes=30)
    assert (session["session_type"], session["title"]) == ("video", "Custom session")
    assert (session["notes"], session["is_instant"]) == (None, False)


def test_the_given_fields_are_kept(db: Connection, therapist: Person, client: Person) -> None:
    session = propose(
        db,
        therapist,
        client,
        p_duration_minutes=50,
        p_session_type="audio",
        p_title="  First steps ",
        p_notes="Bring  a pen\n",
    )

    assert session["end_time"] == session["start_time"] + timedelta(minutes=50)
    assert (session["duration_minutes"], session["session_type"]) == (50, "audio")
    assert (session["title"], session["notes"]) == ("First steps", "Bring  a pen\n")


@pytest.mark.parametrize("arguments", [{}, {"p_duration_minutes": None}])
def test_a_proposal_without_a_duration_takes_it_from_the_setting(
    db: Connection, therapist: Person, client: Person, arguments: dict[str, None]
) -> None:
    configure(db, default_duration=50)

    session = propose(db, therapist, client, **arguments)

    assert session["duration_minutes"] == 50
    assert (session["end_time"] - session["start_time"]).total_seconds() == 50 * 60


@pytest.mark.parametrize("user_type", ["individual", "user"])
def test_a_therapist_can_propose_to_both_kinds_of_client(
    db: Connection, therapist: Person, user_type: str
) -> None:
    client = add_person(db, user_type)

    assert propose(db, therapist, client)["client"]["id"] == str(client.id)


def test_the_client_must_answer_before_the_start_and_within_the_time_to_answer(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    configure(db, pending_ttl="48 hours")

    soon = propose(db, therapist, client, p_start_time=now + timedelta(hours=47))
    late = propose(db, therapist, client, p_start_time=now + timedelta(hours=49))

    assert soon["approval_expires_at"] == soon["start_time"]
    assert late["approval_expires_at"] == now + timedelta(hours=48)


# Instant.


def test_an_instant_proposal_needs_no_start_and_waits_for_a_short_time(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    configure(db, instant_ttl="9 minutes")

    [session] = call(db, therapist, CREATE, p_patient_id=client.id, p_is_instant=True)

    assert (session["is_instant"], session["status"]) == (True, "pending_approval")
    assert (session["start_time"], session["title"]) == (now, "Instant session")
    assert session["approval_expires_at"] == now + timedelta(minutes=9)


def test_a_proposal_is_not_instant_by_default(
    db: Connection, therapist: Person, client: Person
) -> None:
    assert propose(db, therapist, client, p_is_instant=None)["is_instant"] is False


def test_an_instant_proposal_ignores_the_given_times(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    session = propose(
        db,
        therapist,
        client,
        p_is_instant=True,
        p_start_time="yesterday",
        p_session_date="5874897-12-31",
        p_session_time="10:00",
    )

    assert session["start_time"] == now


def test_the_room_of_an_instant_proposal_stays_open_for_a_last_moment_approval(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client, p_is_instant=True, p_duration_minutes=45)

    assert session["beside"]["room"] == {
        "name": f"s-{session['id'].hex}",
        "opens_at": None,
        "closes_at": int((session["approval_expires_at"] + timedelta(minutes=45)).timestamp()),
        "max_participants": 2,
    }


def test_a_scheduled_proposal_has_no_room_yet(
    db: Connection, therapist: Person, client: Person
) -> None:
    assert propose(db, therapist, client)["beside"]["room"] is None


# Local time.


def test_a_local_time_is_converted_to_utc_and_also_kept_as_written(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(
        db,
        therapist,
        client,
        p_session_date="2030-07-01",
        p_session_time="10:15",
        p_time_zone="Asia/Kathmandu",
    )

    assert session["start_time"] == datetime(2030, 7, 1, 4, 30, tzinfo=UTC)
    assert session["scheduled_date"] == date(2030, 7, 1)
    assert session["scheduled_time"] == time(10, 15)
    assert session["time_zone"] == "Asia/Kathmandu"


def test_a_start_with_an_offset_fills_the_local_columns_in_the_sessions_time_zone(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(
        db,
        therapist,
        client,
        p_start_time="2030-07-01 20:00+00",
        p_time_zone="Australia/Lord_Howe",
    )

    assert session["scheduled_date"] == date(2030, 7, 2)
    assert session["scheduled_time"] == time(6, 30)


def test_a_proposal_without_a_time_zone_uses_that_of_the_installation(
    db: Connection, therapist: Person, client: Person
) -> None:
    configure(db, default_time_zone="America/New_York")

    session = propose(db, therapist, client, p_session_date="2030-07-01", p_session_time="10:00")

    assert session["start_time"] == datetime(2030, 7, 1, 14, tzinfo=UTC)
    assert session["time_zone"] == "America/New_York"


def test_the_installations_time_zone_may_have_a_name_without_a_slash(
    db: Connection, therapist: Person, client: Person
) -> None:
    configure(db, default_time_zone="Japan")

    assert propose(db, therapist, client)["time_zone"] == "Japan"


def test_a_local_time_that_the_clock_change_skips_is_refused(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    with refused(422, "NONEXISTENT_LOCAL_TIME") as refusal:
        propose(
            db,
            therapist,
            client,
            p_session_date="2030-03-31",
            p_session_time="01:30",
            p_time_zone="Europe/London",
        )

    assert refusal.message == "The clocks in Europe/London skip 01:30 on 31 March 2030"
    assert refusal.details == {"session_time": "does not exist on that day in Europe/London"}


def test_a_local_time_that_occurs_twice_means_the_first_and_the_answer_says_so(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(
        db,
        therapist,
        client,
        p_session_date="2030-10-27",
        p_session_time="01:30",
        p_time_zone="Europe/London",
    )

    assert session["start_time"] == datetime(2030, 10, 27, 0, 30, tzinfo=UTC)
    assert session["beside"]["message"].endswith(
        "That time occurs twice on that day; the first one was taken."
    )


# Who.


@pytest.mark.parametrize("user_type", ["individual", "user", "partner"])
def test_only_a_therapist_can_propose(
    db: Connection, client: Person, refused: Refused, user_type: str
) -> None:
    person = add_person(db, user_type)

    with refused(403, "AUTHORIZATION_ERROR") as refusal:
        propose(db, person, client)

    assert refusal.message == "Only a therapist can propose a session"


def test_a_person_without_a_kind_cannot_propose(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    forget_kind(db, therapist)

    with refused(403, "AUTHORIZATION_ERROR"):
        propose(db, therapist, client)


def test_a_therapist_who_is_switched_off_cannot_propose(
    db: Connection, client: Person, refused: Refused
) -> None:
    therapist = add_person(db, "therapist", is_active=False)

    with refused(403, "AUTHORIZATION_ERROR") as refusal:
        propose(db, therapist, client)

    assert refusal.message == "This account is not active"


def test_a_token_without_a_person_cannot_propose(
    db: Connection, client: Person, refused: Refused
) -> None:
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, CREATE, p_patient_id=client.id, p_is_instant=True)


def test_every_person_who_is_not_a_client_causes_the_same_refusal(
    db: Connection, therapist: Person, refused: Refused
) -> None:
    unproposable = {
        "absent": uuid4(),
        "missing": None,
        "oneself": therapist.id,
        "another therapist": add_person(db, "therapist").id,
        "a partner": add_person(db, "partner").id,
        "switched off": add_person(db, "individual", is_active=False).id,
    }

    said = {}
    for reason, patient_id in unproposable.items():
        with refused(400, "VALIDATION_ERROR") as refusal:
            call(db, therapist, CREATE, p_patient_id=patient_id, p_is_instant=True)
        said[reason] = (refusal.message, refusal.details)

    expected = (
        "The proposal is not valid",
        {"patient_id": "must be a client to whom you can propose sessions"},
    )
    assert said == dict.fromkeys(unproposable, expected)


def test_a_therapist_who_is_also_a_client_cannot_propose_to_themselves(
    db: Connection, therapist: Person, refused: Refused
) -> None:
    kinds = (
        f"select u.id, u.full_name, u.email, {kind} as user_type, u.is_active, null as time_zone"
        " from public.users u"
        for kind in ("u.user_type", "'individual'")
    )
    db.execute(f"create or replace view session_approval.people as {' union all '.join(kinds)}")

    with refused(400, "VALIDATION_ERROR") as refusal:
        call(db, therapist, CREATE, p_patient_id=therapist.id, p_is_instant=True)
    assert set(refusal.details) == {"patient_id"}
    with refused(400, "VALIDATION_ERROR"):
        call(
            db,
            therapist,
            "check_availability",
            p_patient_id=therapist.id,
            p_start_time=free_slot(db),
        )


# What is refused.


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"p_duration_minutes": 4}, "duration_minutes"),
    ({"p_duration_minutes": 481}, "duration_minutes"),
    ({"p_duration_minutes": -30}, "duration_minutes"),
    ({"p_time_zone": "Europe/Londn"}, "time_zone"),
    ({"p_time_zone": "Londn5"}, "time_zone"),
    ({"p_time_zone": "+02:00"}, "time_zone"),
    ({"p_time_zone": ""}, "time_zone"),
    ({"p_time_zone": "Europe/London'; drop table sessions; --"}, "time_zone"),
    ({"p_session_type": ""}, "session_type"),
    ({"p_session_type": "  "}, "session_type"),
    ({"p_session_type": None}, "session_type"),
    ({"p_session_type": "x" * 51}, "session_type"),
    ({"p_title": "x" * 201}, "title"),
    ({"p_notes": "x" * 4001}, "notes"),
    ({"p_request_key": ""}, "idempotency_key"),
    ({"p_request_key": "x" * 201}, "idempotency_key"),
    ({"p_start_time": None}, "start_time"),
    ({"p_start_time": "yesterday"}, "start_time"),
    ({"p_start_time": "now"}, "start_time"),
    ({"p_start_time": "infinity"}, "start_time"),
    ({"p_start_time": "-infinity"}, "start_time"),
    ({"p_start_time": "2300-01-01 10:00+00"}, "start_time"),
    ({"p_start_time": "2030-01-01T10:00:00"}, "start_time"),
    ({"p_start_time": "tomorrow 10:00+00"}, "start_time"),
    ({"p_start_time": "today", "p_session_date": "2030-01-01"}, "start_time session_time"),
    ({"p_session_date": "2030-01-01"}, "start_time session_time"),
    ({"p_session_time": "10:00"}, "start_time session_date"),
    ({"p_start_time": None, "p_session_date": "2030-01-01"}, "session_time"),
    ({"p_start_time": None, "p_session_time": "10:00"}, "session_date"),
]


@pytest.mark.parametrize(("arguments", "fields"), INVALID, ids=lambda value: str(value)[:60])
def test_a_refusal_names_the_wrong_field(
    db: Connection,
    therapist: Person,
    client: Person,
    refused: Refused,
    arguments: dict[str, Any],
    fields: str,
) -> None:
    proposal = {"p_start_time": "2030-01-01 10:00+00", **arguments}

    with refused(400, "VALIDATION_ERROR") as refusal:
        propose(db, therapist, client, **proposal)

    assert refusal.message == "The proposal is not valid"
    assert set(refusal.details) == set(fields.split())
    assert all(text.startswith("must ") for text in refusal.details.values())


def test_the_refusal_of_a_start_without_an_offset_says_what_is_missing(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    for start in ("2030-01-01T10:00:00", "infinity"):
        with refused(400, "VALIDATION_ERROR") as refusal:
            propose(db, therapist, client, p_start_time=start)
        assert refusal.details == {
            "start_time": "must be in ISO 8601 with an offset, such as 2030-01-31T10:00:00+01:00"
        }


@pytest.mark.parametrize(
    ("session_date", "field"),
    [
        ("infinity", "session_date"),
        ("1999-12-31", "session_date"),
        ("2200-01-01", "session_date"),
        ("2025-01-01", "session_time"),
    ],
)
def test_a_refusal_names_a_wrong_day_as_it_was_given(
    db: Connection,
    therapist: Person,
    client: Person,
    refused: Refused,
    session_date: str,
    field: str,
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        propose(db, therapist, client, p_session_date=session_date, p_session_time="10:00")

    assert set(refusal.details) == {field}


def test_one_refusal_names_every_wrong_field(
    db: Connection, therapist: Person, refused: Refused
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        call(
            db,
            therapist,
            CREATE,
            p_patient_id=None,
            p_start_time="2030-01-01 10:00+00",
            p_session_date="2300-01-01",
            p_time_zone="nowhere",
            p_duration_minutes=0,
            p_session_type="",
            p_title="x" * 201,
            p_notes="x" * 4001,
            p_request_key="",
        )

    assert set(refusal.details) == {
        "patient_id",
        "start_time",
        "session_date",
        "session_time",
        "time_zone",
        "duration_minutes",
        "session_type",
        "title",
        "notes",
        "idempotency_key",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"p_duration_minutes": 5},
        {"p_duration_minutes": 480},
        {"p_title": "x" * 200, "p_notes": "x" * 4000, "p_session_type": "x" * 50},
        {"p_title": ""},
        {"p_request_key": "x" * 200},
        {"p_time_zone": "UTC"},
        {"p_time_zone": "Etc/GMT+5"},
        {"p_time_zone": "America/Argentina/Buenos_Aires"},
        {"p_time_zone": "America/Port-au-Prince"},
        {"p_start_time": "2199-12-31 10:00+00"},
        {"p_is_instant": None},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_value_just_within_the_limits_is_accepted(
    db: Connection, therapist: Person, client: Person, arguments: dict[str, Any]
) -> None:
    session = propose(db, therapist, client, **{"p_start_time": "2030-01-01 10:00+00", **arguments})

    assert session["status"] == "pending_approval"


def test_a_start_one_moment_from_now_is_in_the_future(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    start = now + timedelta(microseconds=1)

    assert propose(db, therapist, client, p_start_time=start)["start_time"] == start


@pytest.mark.parametrize(
    "hostile",
    [
        "'; drop table public.sessions; --",
        "$$; select 1; $$",
        "\\'",
        "%s {} %I",
        "\u202e\u0000"[:1],
    ],
)
def test_hostile_texts_are_stored_unchanged_and_not_executed(
    db: Connection, therapist: Person, client: Person, hostile: str
) -> None:
    session = propose(
        db,
        therapist,
        client,
        p_title=f"a{hostile}a",
        p_notes=hostile,
        p_session_type=f"a{hostile}a",
        p_request_key=hostile,
    )

    assert (session["title"], session["notes"]) == (f"a{hostile}a", hostile)
    assert row(db, "sessions", session["id"])["request_key"] == hostile


def test_spaces_around_a_session_type_are_removed(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client, p_session_type=f" audio{' ' * 60}")

    assert session["session_type"] == "audio"


# Once.


def proposals(db: Connection, therapist: Person) -> list[Row]:
    """Return everything that a therapist has proposed."""
    return db.execute(
        "select * from public.sessions where created_by = %s", (therapist.id,)
    ).fetchall()


@pytest.mark.parametrize("is_instant", [False, True])
def test_the_same_proposal_with_the_same_key_is_made_once(
    db: Connection, therapist: Person, client: Person, is_instant: bool
) -> None:
    proposal = {"p_is_instant": is_instant, "p_notes": "x", "p_request_key": "k-1"}
    if not is_instant:
        proposal["p_start_time"] = free_slot(db)

    first = propose(db, therapist, client, **proposal)
    second = propose(db, therapist, client, **proposal)

    assert second == first
    assert len(proposals(db, therapist)) == 1
    assert len(events(db, first)) == 1


def test_two_equal_proposals_with_two_keys_make_two_sessions(
    db: Connection, therapist: Person, client: Person
) -> None:
    both = [{"p_is_instant": True, "p_request_key": key} for key in ("k-1", "k-2")]
    made = [propose(db, therapist, client, **proposal) for proposal in both]

    assert [propose(db, therapist, client, **proposal) for proposal in both] == made
    assert len(proposals(db, therapist)) == 2


def test_every_proposal_without_a_key_makes_a_new_session(
    db: Connection, therapist: Person, client: Person
) -> None:
    assert propose(db, therapist, client)["id"] != propose(db, therapist, client)["id"]


@pytest.mark.parametrize(
    "other",
    [
        {"p_start_time": "2030-01-01 10:01+00"},
        {"p_is_instant": True},
        {"p_duration_minutes": 31},
        {"p_session_type": "audio"},
        {"p_title": "Other"},
        {"p_notes": "Other"},
        {"p_notes": None},
    ],
    ids=str,
)
def test_a_key_with_other_content_is_a_conflict(
    db: Connection,
    therapist: Person,
    client: Person,
    refused: Refused,
    other: dict[str, Any],
) -> None:
    proposal = {
        "p_start_time": "2030-01-01 10:00+00",
        "p_notes": "x",
        "p_title": "y",
        "p_request_key": "k-1",
    }
    propose(db, therapist, client, **proposal)

    with refused(422, "IDEMPOTENCY_CONFLICT") as refusal:
        propose(db, therapist, client, **{**proposal, **other})

    assert refusal.message == "This idempotency key was used for another proposal"
    assert len(proposals(db, therapist)) == 1


def test_a_key_for_another_client_is_a_conflict(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    proposal = {"p_start_time": "2030-01-01 10:00+00", "p_request_key": "k-1"}
    propose(db, therapist, client, **proposal)

    with refused(422, "IDEMPOTENCY_CONFLICT"):
        propose(db, therapist, stranger, **proposal)


def test_two_therapists_can_use_the_same_key(
    db: Connection, therapist: Person, client: Person
) -> None:
    colleague = add_person(db, "therapist")

    mine = propose(db, therapist, client, p_request_key="k-1")
    theirs = propose(db, colleague, client, p_request_key="k-1")

    assert mine["id"] != theirs["id"]
    assert theirs["therapist_id"] == colleague.id


def test_a_retry_that_arrives_after_the_start_returns_its_session(
    db: Connection, therapist: Person, client: Person, now: datetime, refused: Refused
) -> None:
    session = propose(db, therapist, client, p_request_key="k-1")
    begun = now - timedelta(minutes=1)
    change(db, "sessions", session["id"], start_time=begun)

    again = propose(db, therapist, client, p_request_key="k-1", p_start_time=begun)

    assert again["id"] == session["id"]
    with refused(400, "VALIDATION_ERROR"):
        propose(db, therapist, client, p_request_key="k-2", p_start_time=begun)


def test_a_retry_that_arrives_after_the_approval_returns_the_approved_session(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    for arguments in ({"p_is_instant": True}, {"p_start_time": free_slot(db)}):
        session = propose(db, therapist, client, p_request_key=f"k-{arguments}", **arguments)
        give_credits(db, client)
        approved = approve(db, client, session)

        again = propose(db, therapist, client, p_request_key=f"k-{arguments}", **arguments)

        assert (again["id"], again["status"]) == (session["id"], approved["status"])


def test_a_session_type_can_be_one_letter_or_fifty(
    db: Connection, therapist: Person, client: Person
) -> None:
    for kind in ("v", "v" * 50):
        assert propose(db, therapist, client, p_session_type=kind)["session_type"] == kind
