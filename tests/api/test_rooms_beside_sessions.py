"""The rooms of sessions: made at approval, deleted at the end, never the cause of a failure."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from api.config import Settings
from api.video.daily import Daily
from scripts.operate import rooms as command
from tests import actors
from tests.actors import Connection, Person, give_credits
from tests.api.conftest import Api, assert_refused
from tests.servers import Server

# Every way in which the provider can fail a request, for so long that the retry fails too.
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


def test_an_instant_session_has_a_room_that_no_answer_names_before_approval(
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


def test_a_scheduled_session_gets_its_room_at_approval(
    api: Api, db: Connection, daily: str, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = api.propose(therapist, client)
    assert rooms(daily) == []

    approved = api.approve(client, session)

    assert rooms(daily) == [approved.json["room"]["name"]]


@contextmanager
def provider_failing(daily: str, fault: dict[str, object] | None) -> Iterator[None]:
    """Let the provider fail within the block, if a fault is given; it has one room at most."""
    if fault:
        httpx.post(f"{daily}/control/faults", json={**fault, "times": 50}).raise_for_status()
    yield
    httpx.delete(f"{daily}/control/faults").raise_for_status()
    assert len(rooms(daily)) <= 1


@pytest.fixture
def reconcile(
    server: Server,
    api_database: str,
    db: Connection,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., int]:
    """The operator's command, in a database where no other test's session is open."""
    db.execute(
        "update public.sessions set status = 'cancelled'"
        " where status in ('pending_approval', 'scheduled', 'confirmed', 'in_progress')"
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command, "PAUSES", dict.fromkeys(command.PAUSES, 0))
    address = ["--database-url", server.uri(api_database)]
    return lambda *flags: command.main(["reconcile", *address, *flags], standalone_mode=False)


@pytest.mark.parametrize("step", ["create", "approve", "join", "cancel"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault["fault"]))
def test_a_fault_at_any_step_loses_no_credit_and_no_room_and_joining_works_later(
    settings: Settings,
    db: Connection,
    daily: str,
    therapist: Person,
    client: Person,
    fault: dict[str, object],
    step: str,
    reconcile: Callable[..., int],
) -> None:
    api = Api(settings)
    if step != "approve":  # the approval is measured with the time that a request really has
        api.http.application.extensions["video"] = Daily(settings, budget=0.8)
    give_credits(db, client, 2)

    with provider_failing(daily, fault if step == "create" else None):
        session = api.propose(therapist, client, is_instant=True)
    path = f"/api/sessions/{session['id']}"

    with provider_failing(daily, fault if step == "approve" else None):
        began = time.monotonic()
        approved = api.approve(client, session)
        assert time.monotonic() - began < 4
        assert approved.status_code == 200
        assert (approved.json["room"] is None) == (step == "approve")
        assert bool(approved.json["room_reason"]) == (step == "approve")
        assert actors.balances(db, client) == [1]

    assert reconcile("--apply") == 0
    [name] = rooms(daily)

    if step == "cancel":
        with provider_failing(daily, fault):
            ended = api.post(f"{path}/cancel", therapist)
            assert (ended.status_code, ended.json["refunded"]) == (200, True)
    else:
        with provider_failing(daily, fault if step == "join" else None):
            joined = api.post(f"{path}/join", client)
            assert joined.status_code == (503 if step == "join" else 200), joined.text
        for person in (client, therapist):
            joined = api.post(f"{path}/join", person)
            assert (joined.status_code, joined.json["room_name"]) == (200, name)
        assert rooms(daily) == [name]
        assert api.post(f"{path}/finish", therapist).status_code == 200

    assert actors.balances(db, client) == [2 if step == "cancel" else 1]
    assert reconcile("--apply") == 0
    assert rooms(daily) == []
    assert reconcile() == 0


@pytest.mark.parametrize("path", ["cancel", "decline"])
def test_the_room_is_deleted_when_the_session_is_cancelled_or_declined(
    api: Api, daily: str, therapist: Person, client: Person, path: str
) -> None:
    session = api.propose(therapist, client, is_instant=True)
    assert len(rooms(daily)) == 1
    ended = api.post(f"/api/sessions/{session['id']}/{path}", client)
    assert ended.status_code == 200
    assert rooms(daily) == []


def test_sessions_are_approved_without_video_and_joining_says_why_it_fails(
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
