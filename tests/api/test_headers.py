"""The headers of all answers, and the origins that may read them."""

from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from api.config import Settings
from tests.actors import Person
from tests.api.conftest import Api, assert_refused, headers_of


@pytest.mark.parametrize(
    "path", ["/api/credits/user", "/api/nowhere", "/healthz", "/dashboard/therapy", "/ui/api.js"]
)
def test_every_answer_has_the_security_headers(api: Api, path: str) -> None:
    answer = api.http.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert answer.headers["X-Request-Id"]


def test_an_answer_of_the_api_is_not_stored_and_is_no_page(api: Api, client: Person) -> None:
    for answer in (api.get("/api/credits/user", client), api.get("/api/credits/user")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_pages_have_their_own_policy(api: Api) -> None:
    page = api.http.get("/dashboard/therapy")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "same-origin"


FRONTEND = "https://app.example.org"


@pytest.fixture
def open_api(settings: Settings) -> Api:
    """The API of an installation whose frontend has another origin."""
    return Api(replace(settings, allowed_origins=(FRONTEND, "http://localhost:3000")))


def preflight(api: Api, path: str, origin: str, method: str = "POST") -> TestResponse:
    """Send the request that a browser sends before one with a token."""
    return api.http.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,x-evil",
        },
    )


def cors(answer: TestResponse) -> set[str]:
    """Return the names of an answer's headers that let another origin read it."""
    return {name for name, _ in answer.headers if name.startswith("Access-Control-")}


@pytest.mark.parametrize("path", ["/api/sessions/approve", "/api/therapist/create-custom-session"])
@pytest.mark.parametrize("origin", [FRONTEND, "http://localhost:3000"])
def test_a_listed_origin_may_call_and_read(
    open_api: Api, client: Person, path: str, origin: str
) -> None:
    options = preflight(open_api, path, origin)
    assert options.status_code == 200
    assert options.headers["Access-Control-Allow-Origin"] == origin
    assert options.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert options.headers["Access-Control-Allow-Headers"].lower() == "authorization, content-type"
    assert options.headers["Access-Control-Max-Age"] == "600"

    read = open_api.http.get("/api/credits/user", headers={**headers_of(client), "Origin": origin})
    assert read.status_code == 200
    assert read.headers["Access-Control-Allow-Origin"] == origin
    assert "Retry-After" in read.headers["Access-Control-Expose-Headers"]
    refused = open_api.http.get("/api/credits/user", headers={"Origin": origin})
    assert_refused(refused, 401, "AUTHENTICATION_ERROR")
    assert refused.headers["Access-Control-Allow-Origin"] == origin
    for answer in (options, read, refused):
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
    options = preflight(open_api, "/api/sessions/approve", origin)
    read = open_api.http.get("/api/credits/user", headers={**headers_of(client), "Origin": origin})
    for answer in (options, read):
        assert cors(answer) == set()
        assert answer.headers.getlist("Vary") == ["Origin"]


def test_only_the_api_is_open_to_listed_origins(open_api: Api) -> None:
    for path in ("/healthz", "/metrics", "/dashboard/therapy", "/ui/api.js"):
        assert cors(open_api.http.get(path, headers={"Origin": FRONTEND})) == set()


def test_no_origin_is_allowed_without_a_list(api: Api) -> None:
    options = preflight(api, "/api/sessions/approve", FRONTEND)
    assert options.status_code == 200
    assert cors(options) == set()
    assert "Vary" not in options.headers
