"""The calendar as a screen meets it: a taken time, what is in the way, and what is free."""

from typing import Any

from tests.actors import Connection, Person, give_credits
from tests.api.conftest import Api, assert_refused

START = "2031-05-06T10:00:00+00:00"
END = "2031-05-06T10:30:00+00:00"
CREATE = "/api/therapist/create-custom-session"
CHECK = "/api/therapist/check-availability"


def assert_conflict(response: Any) -> dict[str, Any]:
    """Assert the refusal of a taken time, with its details where older screens read them too."""
    assert response.status_code == 409
    assert response.json["error"] == "Time slot is already booked"
    assert response.json["code"] == "TIME_SLOT_CONFLICT"
    details: dict[str, Any] = response.json["details"]
    assert set(details) == {"conflicting_sessions", "suggested_times"}
    assert response.json.items() >= details.items()
    return details


def test_a_taken_time_is_refused_with_what_is_in_the_way_and_what_is_free(
    api: Api, therapist: Person, client: Person, stranger: Person
) -> None:
    first = api.propose(therapist, client, start_time=START, title="Sonata")

    refused = api.post(CREATE, therapist, patient_id=stranger.id, start_time=START)

    details = assert_conflict(refused)
    assert details["conflicting_sessions"] == [
        {
            "start_time": START,
            "end_time": END,
            "id": first["id"],
            "title": "Sonata",
            "client_name": client.full_name,
        }
    ]
    assert [time["label"] for time in details["suggested_times"]] == [
        "Tue 6 May, 09:30",
        "Tue 6 May, 10:30",
        "Tue 6 May, 09:15",
        "Tue 6 May, 10:45",
        "Tue 6 May, 09:00",
    ]
    taken = api.post(
        CREATE,
        therapist,
        patient_id=stranger.id,
        start_time=details["suggested_times"][0]["time"],
    )
    assert taken.status_code == 200


def test_a_client_whose_therapist_is_busy_by_now_learns_only_when(
    api: Api, db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    for person in (client, stranger):
        give_credits(db, person, 1)
    instants = [api.propose(therapist, each, is_instant=True) for each in (client, stranger)]
    assert api.approve(client, instants[0]).status_code == 200

    details = assert_conflict(api.approve(stranger, instants[1]))

    [session] = details["conflicting_sessions"]
    assert set(session) == {"start_time", "end_time"}


def test_a_conflict_at_a_time_on_the_wall_is_named_as_well(
    api: Api, therapist: Person, client: Person, stranger: Person
) -> None:
    day = {"session_date": "2031-05-07", "session_time": "10:00", "time_zone": "Europe/London"}
    first = api.propose(therapist, client, start_time="2031-05-07T09:20:00Z", title="Sonata")

    details = assert_conflict(
        api.post(CREATE, therapist, patient_id=stranger.id, duration_minutes=25, **day)
    )

    [session] = details["conflicting_sessions"]
    assert session["id"] == first["id"]
    assert (session["title"], session["client_name"]) == ("Sonata", client.full_name)


def test_a_conflict_whose_names_cannot_be_had_is_told_with_its_times(
    api: Api, db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    first = api.propose(therapist, client, start_time="2031-05-08T10:00:00Z", title="Sonata")
    function = "public.check_availability(text, integer, uuid, uuid)"
    db.execute(f"revoke execute on function {function} from authenticated")
    try:
        details = assert_conflict(
            api.post(CREATE, therapist, patient_id=stranger.id, start_time="2031-05-08T10:10:00Z")
        )
    finally:
        db.execute(f"grant execute on function {function} to authenticated")

    assert details["conflicting_sessions"] == [
        {
            "start_time": "2031-05-08T10:00:00+00:00",
            "end_time": "2031-05-08T10:30:00+00:00",
            "id": first["id"],
        }
    ]
    assert len(details["suggested_times"]) == 5


def test_the_calendar_can_be_asked_beforehand(
    api: Api, therapist: Person, client: Person, stranger: Person
) -> None:
    free = api.post(CHECK, therapist, start_time=START)
    assert free.status_code == 200
    assert free.json["data"] == {
        "available": True,
        "outside_hours": None,
        "conflicting_sessions": [],
        "suggested_times": [],
    }

    session = api.propose(therapist, client, start_time=START)

    taken = api.post(CHECK, therapist, start_time=START, duration_minutes=45).json
    assert taken["available"] is False
    assert [each["id"] for each in taken["conflicting_sessions"]] == [session["id"]]
    assert len(taken["suggested_times"]) == 5
    moved = api.post(CHECK, therapist, start_time=START, exclude_session_id=session["id"]).json
    assert moved["available"] is True
    both = api.post(CHECK, therapist, start_time=END, patient_id=stranger.id).json
    assert both["available"] is True


def test_questions_about_the_calendar_are_refused_like_any_other(
    api: Api, therapist: Person, client: Person
) -> None:
    assert_refused(api.post(CHECK, None, start_time=START), 401, "AUTHENTICATION_ERROR")
    assert_refused(api.post(CHECK, client, start_time=START), 403, "AUTHORIZATION_ERROR")
    for body in (
        {},
        {"start_time": "2031-05-06T10:00:00"},
        {"start_time": "2001-05-06T10:00:00Z"},
        {"start_time": START, "duration_minutes": 4},
        {"start_time": START, "patient_id": str(therapist.id)},
    ):
        assert_refused(api.post(CHECK, therapist, **body), 400, "VALIDATION_ERROR")
