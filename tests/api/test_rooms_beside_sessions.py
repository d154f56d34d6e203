"""Rooms stand beside a session's own life: a provider's fault never costs an approval."""

import time

import httpx
import pytest

from tests import people
from tests.api.conftest import Api, assert_refused
from tests.people import Connection, Person, give_credits

# Every way in which the provider can fail a request, and for so long that no retry gets through.
FAULTS = [
    {"fault": "latency", "seconds": 9},
    {"fault": "rate_limit", "retry_after": 60},
    {"fault": "server_error"},
    {"fault": "reset"},
    {"fault": "answer_lost"},
    {"fault": "half_body"},
    {"fault": "drip", "seconds": 1},
    {"fault": "garbage"},
]


def rooms(daily: str) -> list[str]:
    """Return the names of the rooms that the provider has."""
    overview = httpx.get(f"{daily}/control/requests", timeout=5).json()
    return [room["name"] for room in overview["rooms"]]


def test_an_instant_session_has_its_room_before_anybody_learns_where(
    api: Api, db: Connection, daily: str, therapist: Person, client: Person
) -> None:
    session = api.propose(therapist, client, is_instant=True)

    [name] = rooms(daily)
    for person in (therapist, client):
        for response in (
            api.get("/api/sessions/pending", person),
            api.get("/api/sessions", person),
            api.get(f"/api/sessions/{session['id']}", person),
        ):
            assert name not in response.text
    give_credits(db, client)
    assert api.approve(client, session).json["room"]["name"] == name
    assert rooms(daily) == [name]


def test_a_scheduled_session_has_its_room_from_approval_on(
    api: Api, db: Connection, daily: str, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = api.propose(therapist, client)
    assert rooms(daily) == []

    approved = api.approve(client, session)

    assert rooms(daily) == [approved.json["room"]["name"]]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault["fault"]))
def test_a_fault_of_the_provider_costs_no_approval_and_joining_works_later(
    api: Api,
    db: Connection,
    daily: str,
    therapist: Person,
    client: Person,
    fault: dict[str, object],
) -> None:
    give_credits(db, client)
    session = api.propose(therapist, client, is_instant=True)
    httpx.post(f"{daily}/control/faults", json={**fault, "times": 50}).raise_for_status()

    began = time.monotonic()
    approved = api.approve(client, session)
    took = time.monotonic() - began

    assert approved.status_code == 200
    assert approved.json["session"]["credits_balance_after"] == 0
    assert approved.json["room"] is None
    assert approved.json["room_reason"]
    assert took < 4
    assert people.balances(db, client) == [0]
    refused = api.post(f"/api/sessions/{session['id']}/join", client)
    assert_refused(refused, 503, "ROOM_UNAVAILABLE")

    httpx.post(f"{daily}/control/reset", timeout=5).raise_for_status()
    joined = api.post(f"/api/sessions/{session['id']}/join", client)
    assert joined.status_code == 200
    assert rooms(daily) == [joined.json["room_name"]]


@pytest.mark.parametrize("path", ["cancel", "decline"])
def test_the_room_goes_when_the_session_is_called_off(
    api: Api, daily: str, therapist: Person, client: Person, path: str
) -> None:
    session = api.propose(therapist, client, is_instant=True)
    assert len(rooms(daily)) == 1
    ended = api.post(f"/api/sessions/{session['id']}/{path}", client)
    assert ended.status_code == 200
    assert rooms(daily) == []


def test_without_video_sessions_are_still_approved_and_joining_says_why_not(
    api_without_video: Api, db: Connection, therapist: Person, client: Person
) -> None:
    api = api_without_video
    give_credits(db, client)
    session = api.propose(therapist, client, is_instant=True)

    approved = api.approve(client, session)

    assert approved.status_code == 200
    assert approved.json["room"] is None
    assert "Video is off" in approved.json["room_reason"]
    refused = api.post(f"/api/sessions/{session['id']}/join", client)
    assert_refused(refused, 503, "ROOM_UNAVAILABLE")
    assert "Video is off" in refused.json["error"]
    assert api.post(f"/api/sessions/{session['id']}/finish", therapist).status_code == 200
