"""The API's log: what stands in it, and what never does."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from scripts.local.postgrest import PostgREST
from tests.actors import Connection, Person, give_credits
from tests.api.conftest import DAILY_KEY, SECRET, Api, token_of
from tests.api.serving import Served, serving

TITLE = "Grief-after-the-accident"
NOTE = "Speaks-of-sleeplessness"
REASON = "Feels-too-ill-to-come"


@pytest.fixture
def served(rest: PostgREST, daily: str, log_file: Path) -> Iterator[Served]:
    """The API as it is deployed."""
    with serving(
        log_file,
        SUPABASE_URL="http://supabase.test",
        SUPABASE_REST_URL=rest.url,
        SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
        SUPABASE_JWT_SECRET=SECRET,
        DAILY_API_KEY=DAILY_KEY,
        DAILY_API_URL=f"{daily}/v1",
    ) as running:
        yield running


def lines(log: Path) -> list[dict[str, Any]]:
    """Return every line that was written; each must be JSON."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_log_of_a_whole_run_has_no_token_title_note_room_or_person(
    served: Served, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 3)
    tokens = {person: token_of(person) for person in (therapist, client)}
    secrets = {*tokens.values(), TITLE, NOTE, REASON, SECRET, DAILY_KEY, "sb_publishable_test"}
    for person in (therapist, client):
        secrets |= {str(person.id), person.email, person.full_name}

    with httpx.Client(base_url=served.url, timeout=20) as http:

        def send(method: str, path: str, person: Person, **body: Any) -> Any:
            return http.request(
                method,
                path,
                headers={"Authorization": f"Bearer {tokens[person]}"},
                json=body or None,
            ).json()

        def propose(**fields: Any) -> str:
            body = {"patient_id": str(client.id), "title": TITLE, "notes": NOTE, **fields}
            session = send("POST", "/api/therapist/create-custom-session", therapist, **body)
            secrets.add(session["session"]["id"])
            return str(session["session"]["id"])

        instant = propose(is_instant=True)
        approved = send("POST", "/api/sessions/approve", client, session_id=instant)
        assert approved["room"] is not None, approved
        secrets |= {approved["room"]["url"], approved["room"]["name"]}
        joined = send("POST", f"/api/sessions/{instant}/join", client)
        secrets.add(joined["meeting_token"])
        declined = propose(start_time="2031-05-06T10:00:00Z")
        send("POST", f"/api/sessions/{declined}/decline", client, reason=REASON)
        cancelled = propose(start_time="2031-05-07T10:00:00Z")
        send("POST", "/api/sessions/approve", client, session_id=cancelled)
        send("POST", f"/api/sessions/{cancelled}/cancel", therapist, reason=REASON)
        send("GET", "/api/credits/user", client)
        send("GET", "/api/therapist/clients", therapist)
        # Refusals, an unknown path, and secrets in places where none belong.
        send("GET", f"/api/sessions?status={TITLE}&access_token={tokens[client]}", client)
        send("GET", f"/api/{NOTE}/{tokens[client]}", client)
        send("POST", "/api/sessions/approve", client, title=TITLE)
        http.get("/api/credits/user", headers={"Authorization": f"Bearer {tokens[client]}x"})
        http.request(TITLE.upper().replace("-", "")[:15], "/api/sessions", json={"notes": NOTE})
    # What the server itself refuses, and could quote.
    address = urlsplit(served.url)
    for wrong in (
        f"GET /{NOTE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tokens[client]}\x01\r\n\r\n",
        f"GET /{NOTE} {tokens[client]} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\n {tokens[client]}\r\n\r\n",
    ):
        with socket.create_connection((address.hostname, address.port), 5) as raw:
            raw.sendall(wrong.encode())
            assert b"400" in raw.recv(100)
    served.process.terminate()
    assert served.process.wait(30) == 0

    written = served.log.read_text()
    assert len(secrets) >= 20
    for secret in secrets:
        assert secret not in written, secret
        if secret.startswith("ey"):  # no part of a token either
            assert secret.rpartition(".")[2] not in written
    requests = [line for line in lines(served.log) if line["message"] == "request"]
    assert len(requests) >= 15
    assert {
        ("POST", "/api/sessions/approve", 200, "APPROVED"),
        ("POST", "/api/sessions/<session_id>/join", 200, None),
        ("GET", "/api/credits/user", 401, "AUTHENTICATION_ERROR"),
        ("GET", "none", 404, "NOT_FOUND"),
    } <= {(line["method"], line["route"], line["status"], line["code"]) for line in requests}
    assert all(line["ms"] >= 0 and line["request_id"] for line in requests)


def test_a_line_about_a_fault_has_the_request_id_of_its_answer(
    log_file: Path, client: Person
) -> None:
    with serving(
        log_file,
        SUPABASE_URL="http://supabase.test",
        SUPABASE_REST_URL="http://127.0.0.1:9",
        SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
        SUPABASE_JWT_SECRET=SECRET,
    ) as running:
        answer = httpx.get(
            f"{running.url}/api/credits/user",
            headers={"Authorization": f"Bearer {token_of(client)}", "X-Request-Id": "trace-7"},
        )
    assert answer.status_code == 503
    assert answer.headers["X-Request-Id"] == "trace-7"
    about = {line["logger"] for line in lines(log_file) if line.get("request_id") == "trace-7"}
    assert about == {"api.supabase", "api.serving.logs"}


@pytest.mark.parametrize("given", ["trace-7", "0af7651916cd43dd8448eb211c80319c", "a.b_c"])
def test_a_plain_request_id_is_kept(api: Api, given: str) -> None:
    answer = api.http.get("/healthz", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, '{"a":1}', "é", "a,b"])
def test_any_other_request_id_is_replaced(api: Api, given: str) -> None:
    first, second = (
        api.http.get("/nowhere", headers={"X-Request-Id": given}).headers["X-Request-Id"]
        for _ in range(2)
    )
    assert len(first) == 32
    assert first != second
