"""The headers of every answer, whoever gives it."""

import pytest

from tests.api.conftest import Api
from tests.people import Person


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
