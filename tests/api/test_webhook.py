"""Daily's webhook: signed and recent events are recorded, through a real PostgREST."""

import base64
import hmac
import json
import logging
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from werkzeug.test import TestResponse

from api.config import Settings
from scripts.local import free_port
from tests import actors
from tests.actors import Connection, Person, give_credits, row
from tests.api.conftest import SECRET, Api, assert_refused
from tests.api.test_doctor import answering
from tests.api.test_upstream import http, server_with_reply

PATH = "/api/daily/webhook"
PROBE = b'{"test":"test"}'
HOOK_SECRET = b"what Daily and this installation share"


@pytest.fixture
def hook_settings(settings: Settings) -> Settings:
    """An installation with a webhook, whose secret key is an older one, a token."""
    key = jwt.encode({"role": "service_role", "exp": int(time.time()) + 600}, SECRET, "HS256")
    return replace(settings, daily_webhook_secret=HOOK_SECRET, secret_key=key)


@pytest.fixture
def hook(hook_settings: Settings) -> Api:
    """The API of that installation."""
    return Api(hook_settings)


@pytest.fixture
def session(hook: Api, db: Connection, therapist: Person, client: Person) -> dict[str, Any]:
    """An approved instant session."""
    give_credits(db, client)
    session = hook.propose(therapist, client, is_instant=True)
    approved: dict[str, Any] = hook.approve(client, session).json["session"]
    return approved


def event_of(type_: str, session: dict[str, Any], person: Person | None = None) -> bytes:
    """Return an event as Daily posts it."""
    now = time.time()
    payload: dict[str, Any] = {"room": session["room_name"], "start_ts": now, "end_ts": now}
    if person:
        payload = {"room": session["room_name"], "joined_at": now, "user_id": str(person.id)}
    event = {"version": "1.0.0", "type": type_, "id": str(uuid4()), "payload": payload}
    return json.dumps({**event, "event_ts": now}, indent=1).encode()


def sign(raw: bytes, timestamp: object, secret: bytes = HOOK_SECRET) -> str:
    """Sign as Daily's documentation says."""
    return base64.b64encode(hmac.digest(secret, f"{timestamp}.".encode() + raw, "sha256")).decode()


def post(api: Api, raw: bytes, **headers: object) -> TestResponse:
    """Post a body as Daily does, signed at this moment unless other headers are given."""
    timestamp = headers.pop("timestamp", int(time.time()))
    signature = headers.pop("signature", sign(raw, timestamp))
    all_headers = {"X-Webhook-Timestamp": str(timestamp), "X-Webhook-Signature": str(signature)}
    return api.http.post(PATH, data=raw, headers=all_headers, content_type="application/json")


def recorded(db: Connection, session: dict[str, Any]) -> list[str]:
    """Return the types of the events that are recorded for a session, in order."""
    rows = db.execute(
        "select type from session_approval.video_events where session_id = %s order by received_at",
        (session["id"],),
    )
    return [event["type"] for event in rows]


# Setting it up.


@pytest.mark.parametrize("missing", ["daily_webhook_secret", "secret_key"])
def test_there_is_no_webhook_without_its_secret_or_the_secret_key(
    hook_settings: Settings, missing: str
) -> None:
    api = Api(replace(hook_settings, **{missing: None}))

    assert_refused(post(api, PROBE), 404, "NOT_FOUND")
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize("raw", [PROBE, b'{ "test": "test" }\n', PROBE.ljust(63)])
def test_dailys_probe_is_answered_unsigned_and_makes_no_call(
    hook_settings: Settings, raw: bytes
) -> None:
    api = Api(replace(hook_settings, rest_url=f"http://127.0.0.1:{free_port()}"))

    response = api.http.post(PATH, data=raw)

    assert (response.status_code, response.json["recorded"]) == (200, False)


def test_a_body_longer_than_the_probe_needs_a_signature(hook: Api) -> None:
    assert_refused(hook.http.post(PATH, data=PROBE.ljust(64)), 401, "AUTHENTICATION_ERROR")


# Events that are recorded.


def test_events_of_a_room_are_recorded_and_change_the_session(
    hook: Api, db: Connection, session: dict[str, Any], client: Person
) -> None:
    for type_, person in (
        ("meeting.started", None),
        ("participant.joined", client),
        ("participant.left", client),
        ("meeting.ended", None),
    ):
        response = post(hook, event_of(type_, session, person))
        assert (response.status_code, response.json["recorded"]) == (200, True), response.text

    assert recorded(db, session) == [
        "meeting.started",
        "participant.joined",
        "participant.left",
        "meeting.ended",
    ]
    assert row(db, "sessions", session["id"])["status"] == "in_progress"
    assert actors.events(db, session)[-1]["actor_id"] == client.id
    assert actors.balances(db, client) == [0]


def test_a_repeated_event_succeeds_and_is_not_recorded_again(
    hook: Api, db: Connection, session: dict[str, Any]
) -> None:
    raw = event_of("meeting.started", session)

    assert [post(hook, raw).json["recorded"] for _ in range(3)] == [True, False, False]
    assert recorded(db, session) == ["meeting.started"]


@pytest.mark.parametrize(
    ("type_", "room"), [("recording.started", None), ("meeting.started", "somebody-elses")]
)
def test_an_event_of_another_kind_or_room_succeeds_and_is_not_recorded(
    hook: Api, db: Connection, session: dict[str, Any], type_: str, room: str | None
) -> None:
    named = {**session, "room_name": room or session["room_name"]}

    response = post(hook, event_of(type_, named))

    assert (response.status_code, response.json["recorded"]) == (200, False)
    assert recorded(db, session) == []


@pytest.mark.parametrize("factor", [1, 1000], ids=["seconds", "milliseconds"])
@pytest.mark.parametrize("age", [-290, 290])
def test_a_signature_is_good_for_five_minutes_either_way(
    hook: Api, session: dict[str, Any], age: int, factor: int
) -> None:
    timestamp = (int(time.time()) - age) * factor

    assert post(hook, event_of("meeting.started", session), timestamp=timestamp).status_code == 200


# Events that are refused.


@pytest.mark.parametrize("factor", [1, 1000], ids=["seconds", "milliseconds"])
@pytest.mark.parametrize("age", [-310, 310])
def test_a_stale_signature_is_refused(
    hook: Api, db: Connection, session: dict[str, Any], age: int, factor: int
) -> None:
    timestamp = (int(time.time()) - age) * factor

    refused = post(hook, event_of("meeting.started", session), timestamp=timestamp)

    assert_refused(refused, 401, "AUTHENTICATION_ERROR")
    assert recorded(db, session) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"signature": ""},
        {"signature": "é" * 44},
        {"signature": "AAAA"},
        {"timestamp": ""},
        {"timestamp": "soon"},
        {"timestamp": "-1700000000"},
        {"timestamp": "9" * 400},
        {"timestamp": "1e9"},
    ],
    ids=str,
)
def test_a_malformed_signature_or_timestamp_is_refused(
    hook: Api, db: Connection, session: dict[str, Any], headers: dict[str, str]
) -> None:
    refused = post(hook, event_of("meeting.started", session), **headers)

    assert_refused(refused, 401, "AUTHENTICATION_ERROR")
    assert recorded(db, session) == []


def test_a_signature_holds_only_for_its_own_body_time_and_secret(
    hook: Api, db: Connection, session: dict[str, Any]
) -> None:
    raw, now = event_of("meeting.started", session), int(time.time())

    for signature in (
        sign(raw + b" ", now),
        sign(raw, now - 1),
        sign(raw, now, b"another secret"),
        sign(raw, now, base64.b64encode(HOOK_SECRET)),
    ):
        refused = post(hook, raw, timestamp=now, signature=signature)
        assert_refused(refused, 401, "AUTHENTICATION_ERROR")
    assert recorded(db, session) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b'{"id"',
        b"\xff",
        b'{"x": NaN}',
        b'{"x": 1e999}',
        b'{"x": "\\ud800"}',
        b"[" * 60000,
        b'{"x": %s}' % (b"9" * 5000),
    ],
    ids=lambda raw: raw[:12].decode("latin-1"),
)
def test_a_signed_body_that_is_no_event_is_400(hook: Api, raw: bytes) -> None:
    assert_refused(post(hook, raw), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("change", [{"id": None}, {"event_ts": "soon"}, {"id": "\x00"}], ids=str)
def test_an_event_that_cannot_be_recorded_is_400(
    hook: Api, db: Connection, session: dict[str, Any], change: dict[str, Any]
) -> None:
    raw = json.dumps({**json.loads(event_of("participant.left", session)), **change}).encode()

    assert_refused(post(hook, raw), 400, "VALIDATION_ERROR")
    assert recorded(db, session) == []


def test_a_body_over_the_limit_is_refused_before_it_is_read(hook: Api) -> None:
    assert_refused(post(hook, b" " * 70_000), 413, "PAYLOAD_TOO_LARGE")


# When our side is at fault.


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        http("503 Unavailable", '{"code":"PGRST002"}'),
        http("504 Gateway Timeout", "<html>"),
        http("401 No", '{"code":"PGRST301","message":"JWT expired"}'),
        http("403 No", '{"code":"42501","message":"x"}'),
        http("404 No", '{"code":"PGRST202","message":"x"}'),
    ],
)
def test_daily_is_asked_to_send_an_event_again_while_it_cannot_be_recorded(
    hook_settings: Settings, reply: bytes
) -> None:
    with server_with_reply(reply) as url:
        api = Api(replace(hook_settings, rest_url=url))
        assert_refused(post(api, b"{}"), 503, "UPSTREAM_UNAVAILABLE")
    away = Api(replace(hook_settings, rest_url=f"http://127.0.0.1:{free_port()}"))
    assert_refused(post(away, b"{}"), 503, "UPSTREAM_UNAVAILABLE")


def test_a_wrong_secret_key_is_503_and_is_not_logged(
    hook_settings: Settings, session: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for role in ("authenticated", "anon"):
        key = jwt.encode({"role": role, "exp": int(time.time()) + 600}, SECRET, "HS256")
        api = Api(replace(hook_settings, secret_key=key))

        refused = post(api, event_of("meeting.started", session))

        assert_refused(refused, 503, "UPSTREAM_UNAVAILABLE")
        assert key not in caplog.text
    assert HOOK_SECRET.decode() not in caplog.text
    assert caplog.text.count("record_video_event: AUTHORIZATION_ERROR") == 2


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        ("sb_secret_new", {"apikey": "sb_secret_new", "authorization": None}),
        ("older.jwt.key", {"apikey": "older.jwt.key", "authorization": "Bearer older.jwt.key"}),
    ],
)
def test_a_new_secret_key_is_sent_as_apikey_only_and_an_older_one_as_token_too(
    hook_settings: Settings, key: str, headers: dict[str, str | None]
) -> None:
    requests: list[bytes] = []
    with server_with_reply(http("200 OK", '[{"recorded":true}]'), requests) as url:
        api = Api(replace(hook_settings, rest_url=url, secret_key=key))
        assert post(api, b"{}").json["recorded"] is True

    lines = [line.partition(": ") for line in requests[0].decode().split("\r\n")]
    sent = {name.lower(): value for name, _, value in lines}
    assert {name: sent.get(name) for name in headers} == headers


def test_an_event_is_recorded_with_a_new_secret_key_behind_supabases_gateway(
    hook_settings: Settings, db: Connection, session: dict[str, Any]
) -> None:
    def gateway(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        """Give a call with the secret key, and without a token, the server's role."""
        sent = {name.lower(): value for name, value in headers.items()}
        if sent["apikey"] == "sb_secret_new":
            sent.setdefault("authorization", f"Bearer {hook_settings.secret_key}")
        url = hook_settings.rest_url + path
        answer = httpx.request(method, url, headers=sent, content=body, timeout=5)
        return answer.status_code, {"Content-Type": "application/json"}, answer.content

    with answering(gateway) as url:
        for key, status in [("sb_secret_new", 200), ("sb_secret_other", 503)]:
            api = Api(replace(hook_settings, rest_url=url, secret_key=key))
            assert post(api, event_of("meeting.started", session)).status_code == status

    assert recorded(db, session) == ["meeting.started"]
