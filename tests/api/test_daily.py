"""The way to Daily.co, over HTTP against the stand-in: rooms, tokens and faults."""

import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import pytest

import api.video.daily
from api.config import ROOM_TIMEOUT, Settings, load_settings
from api.video import provider
from api.video.daily import Daily
from api.video.provider import _REASONS, Room, RoomUnavailable, VideoProvider
from scripts.local import free_port
from scripts.local.fake_daily.app import bind
from tests.api.test_upstream import http, server_with_reply

API_KEY = "a-key-of-the-stand-in-that-is-long-enough-for-hs256"
PERSON = "Ada Lovelace"
SLACK = 0.6  # seconds of scheduling that a measured deadline may add on a busy machine

Json = dict[str, Any]


@dataclass(frozen=True)
class StandIn:
    """The stand-in, over HTTP."""

    base_url: str
    http: httpx.Client

    def api(self, method: str, path: str, body: Json | None = None) -> Json:
        """Call its REST API without the code under test."""
        answer: Json = self.http.request(method, f"/v1{path}", json=body).json()
        return answer

    def fault(self, fault: str, **more: object) -> None:
        """Order a fault."""
        self.http.post("/control/faults", json={"fault": fault, **more}).raise_for_status()

    def state(self) -> Json:
        """Return the requests so far, by method and path, and the rooms."""
        answer: Json = self.http.get("/control/requests").json()
        return answer

    def counts(self) -> dict[str, int]:
        """Return the requests so far, by method and path."""
        counts: dict[str, int] = self.state()["counts"]
        return counts

    def join(self, room: str, token: str | None) -> httpx.Response:
        """Join as the room page does."""
        return self.http.post(f"/{room}/join", json={"token": token})


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    server, base_url = bind(API_KEY, "stand-in")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {API_KEY}"}) as http:
        yield StandIn(base_url, http)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def daily(served: StandIn) -> Iterator[StandIn]:
    """The stand-in, empty and without faults; requests that hang are ended afterwards."""
    served.http.post("/control/reset").raise_for_status()
    yield served
    served.http.post("/control/reset").raise_for_status()


@pytest.fixture
def rooms(daily: StandIn) -> Daily:
    """The code under test, with the time that a request really has."""
    return Daily(settings(daily))


def settings(daily: StandIn, **changed: str) -> Settings:
    environ = {
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_PUBLISHABLE_KEY": "not-used-here",
        "DAILY_API_URL": f"{daily.base_url}/v1",
        "DAILY_API_KEY": API_KEY,
    }
    return load_settings({**environ, **changed})


def room_spec(name: str = "visit-1", **changed: object) -> Json:
    now = int(time.time())
    spec = {"name": name, "opens_at": now - 60, "closes_at": now + 3600, "max_participants": 2}
    return {**spec, **changed}


def token_spec(room_name: str = "visit-1", **changed: object) -> Json:
    now = int(time.time())
    person = {"user_id": "7d4c1d9e", "user_name": PERSON, "is_owner": True}
    return {
        "room_name": room_name,
        **person,
        "opens_at": now - 60,
        "expires_at": now + 3600,
        **changed,
    }


def wait_until(is_true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is true; fail if it does not become true in time."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def refused(call: Callable[[], object]) -> RoomUnavailable:
    with pytest.raises(RoomUnavailable) as caught:
        call()
    return caught.value


# Making, reading and deleting.


def test_a_room_is_private_with_the_times_and_seats_of_its_spec(
    daily: StandIn, rooms: Daily
) -> None:
    spec = room_spec()

    room = rooms.ensure(spec)

    assert room == Room("visit-1", f"{daily.base_url}/visit-1")
    details = daily.api("GET", "/rooms/visit-1")
    assert details["privacy"] == "private"
    assert details["config"] == {
        "nbf": spec["opens_at"],
        "exp": spec["closes_at"],
        "max_participants": 2,
        "eject_at_room_exp": True,
    }


def test_a_room_without_an_opening_time_is_open_from_the_start(
    daily: StandIn, rooms: Daily
) -> None:
    rooms.ensure(room_spec(opens_at=None))

    assert "nbf" not in daily.api("GET", "/rooms/visit-1")["config"]


def test_a_room_is_made_with_one_request(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec())

    assert daily.counts() == {"POST /rooms": 1}


def test_making_a_room_that_exists_succeeds_and_makes_no_second_one(
    daily: StandIn, rooms: Daily
) -> None:
    spec = room_spec()

    assert rooms.ensure(spec) == rooms.ensure(spec)
    assert len(daily.state()["rooms"]) == 1


def test_many_calls_at_once_make_one_room(daily: StandIn, rooms: Daily) -> None:
    spec = room_spec()

    with ThreadPoolExecutor(8) as people:
        answers = list(people.map(lambda _: rooms.ensure(spec), range(24)))

    assert set(answers) == {Room("visit-1", f"{daily.base_url}/visit-1")}
    assert len(daily.state()["rooms"]) == 1


@pytest.mark.parametrize("opens_in", [None, -60, 600], ids=["at once", "is open", "will open"])
def test_an_existing_room_that_is_right_is_not_changed(
    daily: StandIn, rooms: Daily, opens_in: int | None
) -> None:
    spec = room_spec(opens_at=opens_in and int(time.time()) + opens_in)
    rooms.ensure(spec)

    rooms.ensure(spec)

    assert daily.counts() == {"POST /rooms": 2, "GET /rooms/:name": 1}


@pytest.mark.parametrize(
    ("changed", "property_name"),
    [
        ({"closes_at": 4_000_000_000}, "exp"),
        ({"opens_at": 1_700_000_000}, "nbf"),
        ({"max_participants": 3}, "max_participants"),
    ],
)
def test_an_existing_room_gets_the_wanted_properties(
    daily: StandIn, rooms: Daily, changed: Json, property_name: str
) -> None:
    rooms.ensure(room_spec())

    room = rooms.ensure(room_spec(**changed))

    assert room.url == f"{daily.base_url}/visit-1"
    config = daily.api("GET", "/rooms/visit-1")["config"]
    assert config[property_name] == next(iter(changed.values()))


def test_an_existing_room_is_changed_to_put_people_out_at_its_end(
    daily: StandIn, rooms: Daily
) -> None:
    bare = {"name": "visit-1", "privacy": "private", "properties": {"enable_knocking": True}}
    daily.api("POST", "/rooms", bare)

    rooms.ensure(room_spec())

    config = daily.api("GET", "/rooms/visit-1")["config"]
    assert config["eject_at_room_exp"] is True
    assert "enable_knocking" not in config


def test_an_existing_room_that_should_be_open_is_opened(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec(opens_at=int(time.time()) + 600))

    rooms.ensure(room_spec(opens_at=None))

    token = rooms.token(token_spec(opens_at=None))
    assert daily.join("visit-1", token).status_code == 200


def test_a_public_room_with_the_same_name_is_not_changed(
    daily: StandIn, rooms: Daily, caplog: pytest.LogCaptureFixture
) -> None:
    before = daily.api("POST", "/rooms", {"name": "visit-1", "privacy": "public"})

    assert refused(lambda: rooms.ensure(room_spec())).kind == "taken"
    assert "kind=taken status=400 error=unknown" in caplog.text
    assert daily.api("GET", "/rooms/visit-1") == before


def test_an_expired_room_is_made_again(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec(closes_at=int(time.time()) - 1))

    rooms.ensure(room_spec())

    assert daily.api("GET", "/rooms/visit-1")["config"]["exp"] > time.time()


def test_a_room_is_found_only_while_it_exists(rooms: Daily) -> None:
    room = rooms.ensure(room_spec())
    rooms.ensure(room_spec("visit-over", closes_at=int(time.time()) - 1))

    assert rooms.get("visit-1") == room
    assert rooms.get("visit-2") is None
    assert rooms.get("visit-over") is None


def test_a_deleted_room_is_gone(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec())

    assert rooms.delete("visit-1") is True
    assert daily.state()["rooms"] == []


def test_deleting_a_missing_or_expired_room_succeeds(rooms: Daily) -> None:
    rooms.ensure(room_spec("visit-over", closes_at=int(time.time()) - 1))

    assert rooms.delete("visit-never") is True
    assert rooms.delete("visit-over") is True


def test_a_name_cannot_reach_another_path_of_the_api(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec())

    rooms.delete("visit-1?x=1")
    rooms.delete("../rooms/visit-1")

    assert [room["name"] for room in daily.state()["rooms"]] == ["visit-1"]


# Listing.


def test_all_private_rooms_are_listed_over_several_pages(
    daily: StandIn, rooms: Daily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.video.daily, "PAGE", 2)
    specs = [room_spec(f"visit-{number}", closes_at=4_000_000_000) for number in range(5)]
    for spec in specs:
        rooms.ensure(spec)
    daily.api("POST", "/rooms", {"name": "somebody-elses", "privacy": "public"})
    rooms.ensure(room_spec("visit-over", closes_at=int(time.time()) - 1))

    started = time.monotonic()

    assert rooms.standing() == specs[::-1]
    assert time.monotonic() - started < 4 * 0.05 + SLACK
    assert daily.counts()["GET /rooms"] == 4


def test_a_room_that_lets_people_stay_is_listed_without_an_end(
    daily: StandIn, rooms: Daily
) -> None:
    for name, properties in (
        ("visit-1", {"exp": 4_000_000_000}),
        ("visit-2", {"exp": 4_000_000_000, "eject_at_room_exp": True, "enable_knocking": True}),
    ):
        daily.api("POST", "/rooms", {"name": name, "privacy": "private", "properties": properties})

    assert [room["closes_at"] for room in rooms.standing()] == [None, None]


# Refusals.


def test_video_is_off_without_a_key_and_daily_is_not_called(daily: StandIn) -> None:
    off = Daily(settings(daily, DAILY_API_KEY=""))

    for call in calls(off).values():
        refusal = refused(call)
        assert refusal.kind == "off"
        assert refusal.reason.startswith("Video is off: ")
    assert daily.counts() == {}


def test_no_token_is_signed_without_a_key(daily: StandIn) -> None:
    off = Daily(settings(daily, DAILY_API_KEY="", DAILY_DOMAIN_ID="known"))

    assert refused(lambda: off.token(token_spec())).kind == "off"


@pytest.mark.parametrize("name", ["ensure", "get", "standing", "delete", "token"])
def test_a_bad_key_is_a_refusal_of_its_own_and_not_retried(daily: StandIn, name: str) -> None:
    stranger = Daily(settings(daily, DAILY_API_KEY="not-the-key"))

    assert refused(calls(stranger)[name]).kind == "bad_key"
    assert sum(daily.counts().values()) == 1


def test_a_key_without_the_permission_counts_as_a_bad_key(daily: StandIn, rooms: Daily) -> None:
    daily.fault("forbidden")

    assert refused(lambda: rooms.ensure(room_spec())).kind == "bad_key"


def test_a_property_that_daily_rejects_is_a_refusal_of_its_own_and_not_retried(
    daily: StandIn, rooms: Daily
) -> None:
    assert refused(lambda: rooms.ensure(room_spec(max_participants=-1))).kind == "bad_property"
    assert daily.counts() == {"POST /rooms": 1, "GET /rooms/:name": 1}
    assert refused(lambda: rooms.token(token_spec(user_id="x" * 37))).kind == "bad_property"
    assert daily.counts()["POST /meeting-tokens"] == 1


def test_a_change_that_daily_rejects_does_not_change_the_room(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec())
    before = daily.api("GET", "/rooms/visit-1")

    assert refused(lambda: rooms.ensure(room_spec(max_participants=-1))).kind == "bad_property"
    assert daily.api("GET", "/rooms/visit-1") == before


def test_every_refusal_is_one_plain_sentence_for_people() -> None:
    for reason in _REASONS.values():
        assert re.fullmatch(r"[A-Z][a-zA-Z',: ]+\.", reason)


# Faults, each at each call.

CALLS = ["ensure", "get", "standing", "delete", "token"]
FAULTS = [
    "rate_limit",
    "server_error",
    "reset",
    "answer_lost",
    "half_body",
    "garbage",
]


def calls(rooms: VideoProvider) -> dict[str, Callable[[], object]]:
    return {
        "ensure": lambda: rooms.ensure(room_spec()),
        "get": lambda: rooms.get("visit-1"),
        "standing": lambda: rooms.standing(),
        "delete": lambda: rooms.delete("visit-1"),
        "token": lambda: rooms.token(token_spec()),
    }


FIRST_REQUEST = {
    "ensure": "POST /rooms",
    "get": "GET /rooms/:name",
    "standing": "GET /rooms",
    "delete": "DELETE /rooms/:name",
    "token": "POST /meeting-tokens",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLS)
def test_a_passing_fault_costs_one_more_request(
    daily: StandIn, rooms: Daily, name: str, fault: str
) -> None:
    daily.fault(fault)

    calls(rooms)[name]()

    assert daily.counts()[FIRST_REQUEST[name]] == 2
    assert daily.state()["faults_left"] == 0
    assert [room["name"] for room in daily.state()["rooms"]] == (
        ["visit-1"] if name == "ensure" else []
    )


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLS)
def test_a_lasting_fault_is_a_refusal_after_one_retry(
    daily: StandIn, rooms: Daily, name: str, fault: str
) -> None:
    daily.fault(fault, times=99)
    started = time.monotonic()

    refusal = refused(calls(rooms)[name])

    assert refusal.kind == ("quota" if fault == "rate_limit" else "away")
    assert daily.counts() == {FIRST_REQUEST[name]: 2}
    assert time.monotonic() - started < ROOM_TIMEOUT


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("lost", ["GET", "POST"])
def test_a_fault_while_a_room_is_corrected_still_leaves_it_right(
    daily: StandIn, rooms: Daily, lost: str, fault: str
) -> None:
    rooms.ensure(room_spec())
    spec = room_spec(closes_at=4_000_000_000)
    daily.fault(fault, method=lost, path="/rooms/visit-1")

    rooms.ensure(spec)

    assert daily.state()["faults_left"] == 0
    assert daily.api("GET", "/rooms/visit-1")["config"]["exp"] == spec["closes_at"]


@pytest.mark.parametrize("fault", [*FAULTS, "latency", "drip", "drip_head"])
def test_the_next_calls_after_any_fault_succeed_with_one_room(daily: StandIn, fault: str) -> None:
    rooms = Daily(settings(daily), budget=0.8)
    daily.fault(fault, times=2, seconds=1.0)
    refused(lambda: rooms.ensure(room_spec()))
    daily.http.delete("/control/faults").raise_for_status()

    room = rooms.ensure(room_spec())

    assert rooms.get("visit-1") == room
    assert len(daily.state()["rooms"]) == 1
    assert daily.join("visit-1", rooms.token(token_spec())).status_code == 200
    assert rooms.delete("visit-1") is True
    assert daily.state()["rooms"] == []


def test_a_retry_after_within_the_deadline_is_waited_for(daily: StandIn, rooms: Daily) -> None:
    daily.fault("rate_limit", retry_after=1)
    started = time.monotonic()

    rooms.ensure(room_spec())

    assert 1.0 <= time.monotonic() - started < 1.0 + SLACK
    assert daily.counts() == {"POST /rooms": 2}


def test_a_retry_after_beyond_the_deadline_is_refused_at_once(daily: StandIn, rooms: Daily) -> None:
    daily.fault("rate_limit", retry_after=60)
    started = time.monotonic()

    assert refused(lambda: rooms.ensure(room_spec())).kind == "quota"
    assert time.monotonic() - started < SLACK
    assert daily.counts() == {"POST /rooms": 1}


def test_a_retry_after_in_the_past_is_not_waited_for(daily: StandIn, rooms: Daily) -> None:
    daily.fault("rate_limit", retry_after=-1)
    started = time.monotonic()

    assert rooms.ensure(room_spec()).name == "visit-1"
    assert time.monotonic() - started < SLACK
    assert daily.counts() == {"POST /rooms": 2}


# The deadline.


@pytest.mark.parametrize("fault", ["latency", "drip", "drip_head"])
def test_no_call_takes_longer_than_its_deadline_however_daily_hangs(
    daily: StandIn, fault: str
) -> None:
    rooms = provider(settings(daily))
    daily.fault(fault, times=99, seconds=30 if fault == "latency" else 0.5)

    def measured(call: Callable[[], object]) -> tuple[str, float]:
        started = time.monotonic()
        return refused(call).kind, time.monotonic() - started

    with ThreadPoolExecutor(len(CALLS)) as people:
        refusals = list(people.map(measured, calls(rooms).values()))

    assert [kind for kind, _ in refusals] == ["away"] * len(CALLS)
    assert all(ROOM_TIMEOUT - 0.1 <= seconds < ROOM_TIMEOUT + SLACK for _, seconds in refusals)


@pytest.mark.parametrize("fault", ["latency", "drip", "drip_head"])
def test_a_retry_shares_the_deadline_of_the_first_request(daily: StandIn, fault: str) -> None:
    rooms = Daily(settings(daily), budget=1.5)
    daily.fault("rate_limit", retry_after=1)
    daily.fault(fault, seconds=30 if fault == "latency" else 0.1)
    started = time.monotonic()

    assert refused(lambda: rooms.ensure(room_spec())).kind == "away"
    assert time.monotonic() - started < 1.5 + SLACK
    assert daily.counts() == {"POST /rooms": 2}


def test_all_requests_that_correct_a_room_share_one_deadline(daily: StandIn) -> None:
    Daily(settings(daily)).ensure(room_spec())
    rooms = Daily(settings(daily), budget=1.0)
    daily.fault("latency", times=99, seconds=0.45)
    started = time.monotonic()

    assert refused(lambda: rooms.ensure(room_spec(max_participants=3))).kind == "away"
    assert time.monotonic() - started < 1.0 + SLACK


@dataclass
class Lookups:
    """Name lookups that hang until they are released, and then fail."""

    begun: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __call__(self, *_: object, **__: object) -> None:
        self.begun.append("lookup")
        self.released.wait(30)
        raise OSError


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lookups]:
    lookups = Lookups()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lookups)
        yield lookups
        lookups.released.set()


def test_a_hanging_name_lookup_is_given_up(daily: StandIn, lookups: Lookups) -> None:
    rooms = Daily(settings(daily), budget=0.5)
    started = time.monotonic()

    assert refused(lambda: rooms.ensure(room_spec())).kind == "away"
    assert time.monotonic() - started < 0.5 + SLACK
    assert len(lookups.begun) == 1


def test_a_call_without_a_free_thread_is_refused_and_never_sent(
    daily: StandIn, lookups: Lookups
) -> None:
    rooms = Daily(settings(daily), budget=0.5)
    started = time.monotonic()
    with ThreadPoolExecutor(24) as people:
        kinds = people.map(lambda _: refused(lambda: rooms.ensure(room_spec())).kind, range(24))
    assert set(kinds) == {"away"}
    assert time.monotonic() - started < 0.5 + SLACK
    assert len(lookups.begun) == 16

    lookups.released.set()
    # This call is made after the one that was still in the queue.
    assert refused(lambda: rooms.get("visit-1")).kind == "away"
    assert len(lookups.begun) == 16 + 2


def test_a_room_made_after_its_caller_gave_up_is_used_by_the_next_call(daily: StandIn) -> None:
    daily.fault("latency", seconds=0.6)
    hasty = Daily(settings(daily), budget=0.2)
    assert refused(lambda: hasty.ensure(room_spec())).kind == "away"
    wait_until(lambda: len(daily.state()["rooms"]) == 1)

    room = Daily(settings(daily)).ensure(room_spec())

    assert room.name == "visit-1"
    assert len(daily.state()["rooms"]) == 1


@pytest.mark.parametrize("fault", ["latency", "drip"])
def test_threads_of_calls_that_were_given_up_are_soon_free(daily: StandIn, fault: str) -> None:
    rooms = Daily(settings(daily), budget=0.5)
    daily.fault(fault, times=16, seconds=30 if fault == "latency" else 0.1)
    with ThreadPoolExecutor(16) as people:
        kinds = people.map(lambda _: refused(lambda: rooms.get("visit-1")).kind, range(16))
    assert set(kinds) == {"away"}

    def works() -> bool:
        try:
            return rooms.get("visit-1") is None
        except RoomUnavailable:
            return False

    wait_until(works, seconds=3.0)


def test_a_connection_that_daily_closed_does_not_fail_the_next_call() -> None:
    """The connection stays open after the first answer; the second request breaks it."""
    answer = b'{"name":"visit-1","url":"https://stand-in.daily.co/visit-1"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    accepted = 0

    def serve() -> None:
        nonlocal accepted
        for _ in range(2):
            connection, _ = listening.accept()
            accepted += 1
            with connection:
                connection.recv(65536)
                connection.sendall(head % len(answer) + answer)
                connection.recv(65536)  # the next request, which gets no answer

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        stand_in = StandIn(address, httpx.Client(base_url=address))
        rooms = Daily(settings(stand_in))

        assert rooms.get("visit-1") == rooms.get("visit-1")
    assert accepted == 2


@contextmanager
def daily_with_answer(answer: Json) -> Iterator[Daily]:
    """Yield a Daily that gives this answer to every request."""
    with server_with_reply(http("200 OK", json.dumps(answer))) as address:
        yield Daily(settings(StandIn(address, httpx.Client(base_url=address))))


@pytest.mark.parametrize(
    "answer",
    [
        {"name": "visit-2", "url": "https://stand-in.daily.co/visit-1"},
        {"name": "visit-1", "url": "javascript:alert(1)"},
    ],
    ids=["of another name", "no address"],
)
def test_an_answer_with_another_room_or_no_address_is_a_refusal(answer: Json) -> None:
    with daily_with_answer(answer) as rooms:
        assert refused(lambda: rooms.get("visit-1")).kind == "away"


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": {"id": 1}}])
def test_an_answer_without_a_list_of_rooms_is_a_refusal(answer: Json) -> None:
    with daily_with_answer(answer) as rooms:
        assert refused(rooms.standing).kind == "away"


@pytest.mark.parametrize("answer", [{}, {"token": None}, {"token": 7}])
def test_an_answer_without_a_token_is_a_refusal(answer: Json) -> None:
    with daily_with_answer(answer) as rooms:
        assert refused(lambda: rooms.token(token_spec())).kind == "away"


# Tokens.


@pytest.fixture(params=["asked of Daily", "signed here"])
def tokens(request: pytest.FixtureRequest, daily: StandIn) -> VideoProvider:
    """The two ways to a token; both must let people into the same rooms."""
    domain_id = daily.api("GET", "/")["domain_id"] if request.param == "signed here" else ""
    return provider(settings(daily, DAILY_DOMAIN_ID=domain_id))


def code(answer: httpx.Response) -> str:
    assert answer.status_code == 403
    return str(answer.json()["code"])


def test_a_token_lets_its_person_into_its_room(daily: StandIn, tokens: VideoProvider) -> None:
    tokens.ensure(room_spec())

    answer = daily.join("visit-1", tokens.token(token_spec()))

    assert answer.status_code == 200
    assert answer.json()["me"] == {"number": 1, "user_name": PERSON, "is_owner": True}


def test_a_token_has_the_claims_of_its_spec_and_an_end(
    daily: StandIn, tokens: VideoProvider
) -> None:
    spec = token_spec(is_owner=False)

    claims = jwt.decode(tokens.token(spec), API_KEY, ["HS256"])

    assert claims.pop("iat") == pytest.approx(time.time(), abs=5)
    assert claims == {
        "r": "visit-1",
        "d": daily.api("GET", "/")["domain_id"],
        "ud": spec["user_id"],
        "u": PERSON,
        "o": False,
        "nbf": spec["opens_at"],
        "exp": spec["expires_at"],
        "ejt": True,
    }


def test_a_token_without_an_opening_time_opens_at_once(tokens: VideoProvider) -> None:
    claims = jwt.decode(tokens.token(token_spec(opens_at=None)), API_KEY, ["HS256"])

    assert "nbf" not in claims


@pytest.mark.parametrize(
    ("token_changed", "room_changed", "refusal"),
    [
        ({"room_name": "visit-2"}, {}, "other_room"),
        ({"expires_at": 1_700_000_000, "opens_at": None}, {}, "expired"),
        ({"opens_at": 3_900_000_000, "expires_at": 4_000_000_000}, {}, "not_yet_open"),
        ({}, {"opens_at": 3_900_000_000, "closes_at": 4_000_000_000}, "not_yet_open"),
        ({}, {"opens_at": None, "closes_at": 1_700_000_000}, "expired"),
    ],
)
def test_a_token_does_not_open_another_room_or_at_another_time(
    daily: StandIn, tokens: VideoProvider, token_changed: Json, room_changed: Json, refusal: str
) -> None:
    tokens.ensure(room_spec(**room_changed))

    assert code(daily.join("visit-1", tokens.token(token_spec(**token_changed)))) == refusal


def test_nobody_joins_a_room_without_a_token(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec())

    assert code(daily.join("visit-1", None)) == "no_token"
    assert code(daily.join("visit-2", None)) == "no_room"


@pytest.mark.parametrize("key_or_domain", ["key", "domain"])
def test_a_token_of_another_key_or_domain_opens_nothing(
    daily: StandIn, rooms: Daily, key_or_domain: str
) -> None:
    rooms.ensure(room_spec())
    domain_id = daily.api("GET", "/")["domain_id"]
    changed = (
        {"DAILY_API_KEY": API_KEY[::-1], "DAILY_DOMAIN_ID": domain_id}
        if key_or_domain == "key"
        else {"DAILY_DOMAIN_ID": "another-domain"}
    )
    forged = Daily(settings(daily, **changed)).token(token_spec())

    assert code(daily.join("visit-1", forged)) == "bad_token"


def test_signing_a_token_does_not_call_daily(daily: StandIn) -> None:
    signing = Daily(settings(daily, DAILY_DOMAIN_ID="known"))
    daily.fault("reset", times=99)

    assert signing.token(token_spec())
    assert daily.counts() == {}


# The stand-in keeps Daily's rules.


def test_a_third_person_is_refused_until_one_of_two_leaves(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec())
    first, _ = (daily.join("visit-1", rooms.token(token_spec())).json()["seat"] for _ in range(2))

    assert code(daily.join("visit-1", rooms.token(token_spec()))) == "full"

    daily.http.post("/visit-1/leave", json={"seat": first}).raise_for_status()
    assert daily.join("visit-1", rooms.token(token_spec())).status_code == 200


def test_a_person_is_put_out_when_the_token_ends(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec())
    token = rooms.token(token_spec(expires_at=int(time.time()) + 1))
    seat = daily.join("visit-1", token).json()["seat"]

    def ended() -> bool:
        answer = daily.http.post("/visit-1/poll", json={"seat": seat, "after": 0}).json()
        return bool(answer["ended"] == "over")

    assert not ended()
    wait_until(ended)


def test_deleting_a_room_puts_its_people_out(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec())
    seat = daily.join("visit-1", rooms.token(token_spec())).json()["seat"]

    rooms.delete("visit-1")

    answer = daily.http.post("/visit-1/poll", json={"seat": seat, "after": 0}).json()
    assert answer["ended"] == "closed"


@pytest.mark.parametrize(
    ("header", "status", "error"),
    [
        ({"Authorization": ""}, 400, "authorization-header-error"),
        ({"Authorization": "Bearer wrong"}, 401, "authentication-error"),
    ],
)
def test_the_stand_in_tells_a_missing_key_from_a_wrong_one(
    daily: StandIn, header: dict[str, str], status: int, error: str
) -> None:
    answer = daily.http.get("/v1/rooms", headers=header)

    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_the_stand_in_refuses_with_dailys_errors(daily: StandIn) -> None:
    def answers(method: str, path: str, body: object = None) -> tuple[int, str]:
        content = body if isinstance(body, str) else None
        json = None if isinstance(body, str) else body
        answer = daily.http.request(method, f"/v1{path}", content=content, json=json)
        return answer.status_code, answer.json()["error"]

    invalid = (400, "invalid-request-error")
    assert answers("GET", "/rooms/nobody") == (404, "not-found")
    assert answers("POST", "/rooms", "{") == (400, "json-parsing-error")
    assert answers("POST", "/rooms", {"name": "no spaces"}) == invalid
    assert answers("POST", "/rooms", {"name": "x" * 129}) == invalid
    assert answers("POST", "/rooms", {"privacy": "secret"}) == invalid
    assert answers("POST", "/rooms", {"properties": {"colour": "red"}}) == invalid
    assert answers("POST", "/rooms", {"properties": {"exp": "soon"}}) == invalid
    assert answers("POST", "/meeting-tokens", {"properties": {"is_owner": 1}}) == invalid
    daily.api("POST", "/rooms", {"name": "visit-1"})
    taken = daily.http.post("/v1/rooms", json={"name": "visit-1"})
    assert taken.status_code == 400
    assert taken.json()["info"] == "a room named visit-1 already exists"


def test_the_stand_in_lists_rooms_and_reads_tokens_back(daily: StandIn, rooms: Daily) -> None:
    rooms.ensure(room_spec("visit-1"))
    rooms.ensure(room_spec("visit-2"))
    rooms.ensure(room_spec("visit-over", closes_at=int(time.time()) - 1))

    listed = daily.api("GET", "/rooms?limit=1")
    assert (listed["total_count"], [room["name"] for room in listed["data"]]) == (2, ["visit-2"])
    for query, names in (
        (f"starting_after={listed['data'][0]['id']}", ["visit-1"]),
        ("limit=1&ending_before=OLDEST", ["visit-1"]),
    ):
        page = daily.api("GET", f"/rooms?{query}")
        assert [room["name"] for room in page["data"]] == names
    read = daily.api("GET", f"/meeting-tokens/{rooms.token(token_spec())}")
    assert (read["room_name"], read["user_name"]) == ("visit-1", PERSON)


def test_requests_beyond_dailys_limit_are_refused_with_quota() -> None:
    server, base_url = bind(API_KEY, "stand-in", limits=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {API_KEY}"}) as http:
        rooms = Daily(settings(StandIn(base_url, http)))
        for _ in range(100):
            http.get("/v1/rooms")

        assert refused(lambda: rooms.get("visit-1")).kind == "quota"
        assert rooms.delete("visit-1") is True  # deletions are counted apart
    server.shutdown()
    server.server_close()


def test_the_stand_in_runs_as_a_program_and_prints_its_address() -> None:
    program = [sys.executable, "-m", "scripts", "fake-daily"]
    usage = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True)
    assert "--api-key" in usage.stdout

    running = subprocess.Popen([*program, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address is not None
        assert httpx.get(f"{address[0]}/control/requests").status_code == 200
    finally:
        running.terminate()
        running.communicate(timeout=10)


# What is logged.


def test_the_log_has_kind_status_and_error_but_no_name_or_key(
    daily: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    spec = token_spec("visit-secret")
    tokens = []
    for domain_id in ("", "known"):
        rooms = Daily(settings(daily, DAILY_DOMAIN_ID=domain_id))
        rooms.ensure(room_spec("visit-secret"))
        tokens.append(rooms.token(spec))
        rooms.delete("visit-secret")
    daily.fault("server_error", times=2)
    refused(lambda: rooms.ensure(room_spec("visit-secret")))
    refused(lambda: Daily(settings(daily, DAILY_API_KEY="k" * 40)).get("visit-secret"))
    daily.fault("garbage", times=2)
    refused(lambda: rooms.ensure(room_spec("visit-secret")))
    nowhere = StandIn(f"http://127.0.0.1:{free_port()}", daily.http)
    refused(lambda: Daily(settings(nowhere)).get("visit-secret"))
    with daily_with_answer({"token": "visit-secret", "name": "visit-secret"}) as broken:
        refused(lambda: broken.get("visit-secret"))
        refused(broken.standing)
    with daily_with_answer({"tokens": ["visit-secret"]}) as broken:
        refused(lambda: broken.token(spec))

    ours = [record.getMessage() for record in caplog.records if record.name == "api.video.daily"]
    assert ours == [
        "video provider: kind=away status=500 error=server-error",
        "video provider: kind=bad_key status=401 error=authentication-error",
        *["video provider: kind=away status=0 error=unknown"] * 2,  # the answer is not Daily's
        *["video provider: kind=away status=200 error=unknown"] * 3,  # without what was asked for
    ]
    for secret in (*tokens, API_KEY, "k" * 40, "visit-secret", PERSON, spec["user_id"]):
        assert secret not in caplog.text
