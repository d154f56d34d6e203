"""The headers of every answer, whoever gives it."""

from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from api.config import Settings
from tests.actors import Person
from tests.api.conftest import Api, assert_refused, headers_of


@pytest.mark.parametrize(
    "path", ["/api/credits/user", "/api/nowhere", "/healthz", "/dashboard/therapy", "/ui/api.js"]
)
def test_no_answer_is_guessed_at_or_told_on(api: Api, path: str) -> None:
    answer = api.http.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert answer.headers["X-Request-Id"]


def test_what_the_api_answers_is_never_stored_and_never_a_page(api: Api, client: Person) -> None:
    for answer in (api.get("/api/credits/user", client), api.get("/api/credits/user")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_screens_keep_their_own_policy(api: Api) -> None:
    page = api.http.get("/dashboard/therapy")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "same-origin"


FRONTEND = "https://app.example.org"


@pytest.fixture
def open_api(settings: Settings) -> Api:
    """The API of an installation whose frontend lives elsewhere."""
    return Api(replace(settings, allowed_origins=(FRONTEND, "http://localhost:3000")))


def preflight(api: Api, path: str, origin: str, method: str = "POST") -> TestResponse:
    """Ask as a browser does before it sends a token."""
    return api.http.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,x-evil",
        },
    )


def cors(answer: TestResponse) -> set[str]:
    """Return the names of the headers that open an answer to another origin."""
    return {name for name, _ in answer.headers if name.startswith("Access-Control-")}


@pytest.mark.parametrize("path", ["/api/sessions/approve", "/api/therapist/create-custom-session"])
@pytest.mark.parametrize("origin", [FRONTEND, "http://localhost:3000"])
def test_a_listed_origin_may_ask_and_read(
    open_api: Api, client: Person, path: str, origin: str
) -> None:
    asked = preflight(open_api, path, origin)
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Origin"] == origin
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert asked.headers["Access-Control-Allow-Headers"].lower() == "authorization, content-type"
    assert asked.headers["Access-Control-Max-Age"] == "600"

    read = open_api.http.get("/api/credits/user", headers={**headers_of(client), "Origin": origin})
    assert read.status_code == 200
    assert read.headers["Access-Control-Allow-Origin"] == origin
    assert "Retry-After" in read.headers["Access-Control-Expose-Headers"]
    refused = open_api.http.get("/api/credits/user", headers={"Origin": origin})
    assert_refused(refused, 401, "AUTHENTICATION_ERROR")
    assert refused.headers["Access-Control-Allow-Origin"] == origin
    for answer in (asked, read, refused):
        assert answer.headers.getlist("Vary") == ["Origin"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "https://app.example.org.evil.test",
        "https://evil.test/https://app.example.org",
        "https://appXexample.org",
        "https://sub.app.example.org",
        "http://app.example.org",
        "https://app.example.org:8443",
        "http://localhost:3001",
        "null",
        "*",
        "",
    ],
)
def test_no_other_origin_may_read(open_api: Api, client: Person, origin: str) -> None:
    asked = preflight(open_api, "/api/sessions/approve", origin)
    read = open_api.http.get("/api/credits/user", headers={**headers_of(client), "Origin": origin})
    for answer in (asked, read):
        assert cors(answer) == set()
        assert answer.headers.getlist("Vary") == ["Origin"]


def test_what_is_not_the_api_is_opened_to_nobody(open_api: Api) -> None:
    for path in ("/healthz", "/metrics", "/dashboard/therapy", "/ui/api.js"):
        assert cors(open_api.http.get(path, headers={"Origin": FRONTEND})) == set()


def test_without_a_list_no_origin_is_opened_to(api: Api) -> None:
    asked = preflight(api, "/api/sessions/approve", FRONTEND)
    assert asked.status_code == 200
    assert cors(asked) == set()
    assert "Vary" not in asked.headers
