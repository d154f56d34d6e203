"""Rate limits: each caller is counted alone, and probes and pages are not counted."""

import socket
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest

from api.config import Settings
from api.serving.rate_limits import Limits
from scripts.local import free_port
from tests.actors import Person
from tests.api.conftest import Api, assert_refused


@pytest.fixture
def strict(settings: Settings) -> Settings:
    """An installation that lets each caller ask three times a minute."""
    return replace(settings, rate_limit="3/minute")


def test_a_request_over_the_limit_is_429_and_says_when_to_try_again(
    strict: Settings, client: Person, stranger: Person
) -> None:
    api = Api(strict)
    for _ in range(3):
        assert api.get("/api/credits/user", client).status_code == 200
    refused = api.get("/api/sessions/pending", client)
    details = assert_refused(refused, 429, "RATE_LIMITED")
    assert 1 <= details["retry_after"] <= 60
    assert refused.headers["Retry-After"] == str(details["retry_after"])
    # Another person at the same address is not refused.
    assert api.get("/api/credits/user", stranger).status_code == 200


def test_failed_sign_ins_are_counted_by_address_and_do_not_block_others(
    strict: Settings, client: Person
) -> None:
    api = Api(strict)
    for _ in range(3):
        assert_refused(api.get("/api/credits/user"), 401, "AUTHENTICATION_ERROR")
    assert_refused(api.get("/api/credits/user"), 429, "RATE_LIMITED")
    assert api.get("/api/credits/user", client).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/dashboard/therapy"])
def test_probes_and_pages_are_not_counted(strict: Settings, path: str) -> None:
    api = Api(replace(strict, metrics_token="m" * 16))
    answers = {
        api.http.get(path, headers={"Authorization": "Bearer " + "m" * 16}).status_code
        for _ in range(5)
    }
    assert answers == {200}


def test_there_can_be_several_limits_or_none(settings: Settings, client: Person) -> None:
    several = Api(replace(settings, rate_limit="100/minute; 2/hour"))
    assert [several.get("/api/credits/user", client).status_code for _ in range(3)] == [
        200,
        200,
        429,
    ]
    off = Api(replace(settings, rate_limit=None))
    assert {off.get("/api/credits/user", client).status_code for _ in range(20)} == {200}


def test_each_worker_counts_for_itself_while_the_shared_counters_are_away(
    strict: Settings, client: Person
) -> None:
    api = Api(replace(strict, rate_limit_storage_url=f"redis://127.0.0.1:{free_port()}/0"))
    answers = [api.get("/api/credits/user", client).status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]


def test_shared_counters_that_were_away_are_tried_again_after_ten_seconds(
    strict: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: now, time=time.time)
    monkeypatch.setattr("api.serving.rate_limits.time", clock)
    with socket.create_server(("127.0.0.1", 0)) as redis:  # it never answers
        redis.settimeout(0.1)
        url = f"redis://127.0.0.1:{redis.getsockname()[1]}/0"
        limits = Limits(replace(strict, rate_limit="100/minute", rate_limit_storage_url=url))

        def connects() -> bool:
            """Return whether counting one request connects to the shared counters."""
            limits.count("somebody")
            tries = 0
            with suppress(TimeoutError):
                while True:  # the library may try more than once
                    redis.accept()[0].close()
                    tries += 1
            return tries > 0

        assert connects()
        now += 9.5
        assert not connects()
        now += 1
        assert connects()
