"""The API under test: in this process, in front of a real PostgREST and the stand-in for Daily."""

import itertools
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from api import create_app
from api.config import Settings, load_settings
from scripts import ROOT
from scripts.local import free_port
from scripts.local.fake_daily.command import command_line
from scripts.local.postgrest import PostgREST
from scripts.local.processes import Process, answers
from scripts.local.tokens import mint
from tests import actors
from tests.actors import Connection, Person
from tests.api.serving import SlowSupabase
from tests.pgbouncer import POSTGREST, pooled
from tests.servers import Server

SECRET = "a secret that only these tests know, long enough"
ISSUER = "http://supabase.test/auth/v1"
DAILY_KEY = "the tests' Daily key"

CONTRACT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())


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
    process = Process(command_line(port, DAILY_KEY), log)
    url = f"http://127.0.0.1:{port}"
    process.wait_until(lambda: answers(f"{url}/control/requests"))
    yield url
    process.stop()


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
    with actors.connect(server.uri(api_database)) as connection:
        yield connection


def token_of(person: Person) -> str:
    """Return a token as Supabase would issue it."""
    return mint(SECRET, ISSUER, str(person.id), person.email)


class Held(FlaskClient):
    """A client that believes no answer which the contract does not describe."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request, and compare the answer with the contract."""
        response = super().open(*args, **kwargs)
        sent = response.request
        routes = self.application.url_map.bind_to_environ(sent.environ)
        try:
            rule, _ = routes.match(return_rule=True)
        except HTTPException:
            return response  # no such path, or method
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        operation = CONTRACT["paths"].get(path, {}).get(sent.method.lower())
        if operation is not None:
            assert str(response.status_code) in operation["responses"], response.text
            if response.is_json:
                validator(path, sent.method.lower(), str(response.status_code)).validate(
                    response.json
                )
        return response


@cache
def validator(path: str, method: str, status: str) -> jsonschema_rs.Validator:
    """Return what holds an answer to its schema, without a field more than that has."""
    response = CONTRACT["paths"][path][method]["responses"][status]
    if "$ref" in response:
        response = CONTRACT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]
    if schema:
        schema = {**schema, "unevaluatedProperties": False}
    return jsonschema_rs.validator_for(
        {**schema, "components": CONTRACT["components"]}, validate_formats=True
    )


class Api:
    """Sends requests to the application as somebody, or as nobody."""

    def __init__(self, settings: Settings) -> None:
        """Build the application, whose every answer is held to the contract."""
        app = create_app(settings)
        app.test_client_class = Held
        # Without its own cookie jar, which would leave out the cookies that a test sends.
        self.http: FlaskClient = app.test_client(use_cookies=False)
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


@pytest.fixture
def slow() -> Iterator[SlowSupabase]:
    """A Supabase that takes its time."""
    supabase = SlowSupabase(SECRET)
    yield supabase
    supabase.go.set()
    supabase.server.shutdown()
    supabase.server.server_close()
