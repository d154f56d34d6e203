"""The API under test: in this process, in front of a real PostgREST and the stand-in for Daily."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from api.config import Settings, load_settings
from scripts.local import ROOT, free_port
from scripts.local.postgrest import PostgREST
from scripts.local.tokens import mint
from tests import people
from tests.people import Connection, Person
from tests.pgbouncer import POSTGREST, pooled
from tests.servers import Server

SECRET = "a secret that only these tests know, long enough"
ISSUER = "http://supabase.test/auth/v1"
DAILY_KEY = "the tests' Daily key"


@pytest.fixture(scope="session")
def api_database(server: Server) -> Iterator[str]:
    """The name of the database behind PostgREST; its tests commit, each with people of its own."""
    name = "test_api"
    with server.database(name):
        yield name


@pytest.fixture(scope="session")
def rest(
    server: Server, api_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgREST]:
    """A real PostgREST, behind a PgBouncer in transaction mode where TEST_PGBOUNCER says so."""
    log = tmp_path_factory.mktemp("postgrest") / "log"
    address = server.uri(api_database, "authenticator")
    with ExitStack() as parts:
        settings = None
        if os.environ.get("TEST_PGBOUNCER"):
            address, settings = parts.enter_context(pooled(address)), POSTGREST
        process = PostgREST(address, SECRET, log, settings=settings)
        parts.callback(process.stop)
        process.start()
        yield process


@pytest.fixture(scope="session")
def daily_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The stand-in for Daily, as a process."""
    port = free_port()
    log = tmp_path_factory.mktemp("daily") / "log"
    command = [sys.executable, "-m", "scripts.daily_stand_in", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--api-key", DAILY_KEY], cwd=ROOT, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"{url}/control/requests", timeout=1)
            break
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture
def daily(daily_url: str) -> str:
    """The stand-in for Daily, without rooms or faults from another test."""
    httpx.post(f"{daily_url}/control/reset", timeout=5).raise_for_status()
    return daily_url


@pytest.fixture
def environment(rest: PostgREST, daily: str) -> dict[str, str]:
    """The environment of a deployment."""
    return {
        "SUPABASE_URL": "http://supabase.test",
        "SUPABASE_REST_URL": rest.url,
        "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_test",
        "SUPABASE_JWT_SECRET": SECRET,
        "DAILY_API_KEY": DAILY_KEY,
        "DAILY_API_URL": f"{daily}/v1",
    }


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """What that environment says."""
    return load_settings(environment)


@pytest.fixture
def db(server: Server, api_database: str) -> Iterator[Connection]:
    """The owner's connection to the API's database; what it does is committed."""
    with people.connect(server.uri(api_database)) as connection:
        yield connection


def token_of(person: Person) -> str:
    """Return a token as Supabase would issue it."""
    return mint(SECRET, ISSUER, str(person.id), person.email)


class Api:
    """Sends requests to the application as somebody, or as nobody."""

    def __init__(self, settings: Settings) -> None:
        """Build the application."""
        self.http: FlaskClient = create_app(settings).test_client()
        self._hours = itertools.count(10)

    def get(self, path: str, person: Person | None = None, **query: Any) -> TestResponse:
        """Send a GET."""
        return self.http.get(path, headers=headers_of(person), query_string=query)

    def post(self, path: str, person: Person | None = None, **body: Any) -> TestResponse:
        """Send a POST with a JSON body."""
        return self.http.post(path, headers=headers_of(person), json=body)

    def propose(self, therapist: Person, client: Person, **fields: Any) -> dict[str, Any]:
        """Propose a session, far ahead and an hour after the last unless it is instant."""
        if not fields.get("is_instant"):
            start = datetime(2031, 5, 6, tzinfo=UTC) + timedelta(hours=next(self._hours))
            fields.setdefault("start_time", start.isoformat())
        response = self.post(
            "/api/therapist/create-custom-session", therapist, patient_id=client.id, **fields
        )
        assert response.status_code == 200, response.json
        session: dict[str, Any] = response.json["session"]
        return session

    def approve(self, client: Person, session: dict[str, Any]) -> TestResponse:
        """Approve a session."""
        return self.post("/api/sessions/approve", client, session_id=session["id"])


def headers_of(person: Person | None) -> dict[str, str]:
    """Return the headers that a person's browser sends."""
    return {} if person is None else {"Authorization": f"Bearer {token_of(person)}"}


@pytest.fixture
def api(settings: Settings) -> Api:
    """The API, with video."""
    return Api(settings)


@pytest.fixture
def api_without_video(settings: Settings) -> Api:
    """The API of an installation without a Daily key."""
    return Api(replace(settings, daily_api_key=None))


def assert_refused(response: TestResponse, status: int, code: str) -> Any:
    """Assert the one shape of every refusal, and return its details."""
    assert response.status_code == status, response.text
    assert response.json is not None
    assert set(response.json) == {"success", "error", "code", "details"}
    assert response.json["success"] is False
    assert response.json["code"] == code
    assert response.json["error"]
    return response.json["details"]


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """A file for a process's words."""
    return tmp_path / "log"
