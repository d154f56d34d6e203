"""What Prometheus reads: all workers together, for whoever has the token."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.config import Settings
from scripts.local.postgrest import PostgREST
from scripts.local.processes import end_at_once
from tests.actors import Connection, Person, give_credits, propose
from tests.api.conftest import SECRET, Api, assert_refused, headers_of
from tests.api.serving import SlowSupabase, serving

TOKEN = "a token for metrics"


def read(answer: httpx.Response) -> dict[tuple[str, ...], float]:
    """Return each sample by its name and its labels' values."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_are_off_without_a_token_of_their_own(api: Api, client: Person) -> None:
    assert_refused(api.get("/metrics"), 404, "NOT_FOUND")
    assert_refused(api.get("/metrics", client), 404, "NOT_FOUND")


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", TOKEN, f"Basic {TOKEN}", "é"])
def test_metrics_are_for_their_token_alone(settings: Settings, given: str) -> None:
    api = Api(replace(settings, metrics_token=TOKEN))
    answer = api.http.get("/metrics", headers={"Authorization": given})
    assert_refused(answer, 401, "AUTHENTICATION_ERROR")


def test_all_workers_count_together_by_route_and_outcome(
    rest: PostgREST,
    daily: str,
    log_file: Path,
    db: Connection,
    therapist: Person,
    client: Person,
) -> None:
    give_credits(db, client)
    paid = propose(db, therapist, client)
    unpaid = propose(db, therapist, client, p_start_time="2031-01-02 10:00Z")
    with serving(
        log_file,
        SUPABASE_URL="http://supabase.test",
        SUPABASE_REST_URL=rest.url,
        SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
        SUPABASE_JWT_SECRET=SECRET,
        DAILY_API_KEY="a key that Daily does not know",
        DAILY_API_URL=f"{daily}/v1",
        METRICS_TOKEN=TOKEN,
    ) as served:
        for session in (paid, paid, paid, unpaid, unpaid, unpaid):
            httpx.post(  # each over a connection of its own, so that both workers get some
                f"{served.url}/api/sessions/approve",
                headers=headers_of(client),
                json={"session_id": str(session["id"])},
                timeout=20,
            )
        for _ in range(20):
            httpx.get(f"{served.url}/api/sessions/{paid['id']}", headers=headers_of(client))
        httpx.get(f"{served.url}/api/nothing/{paid['id']}")
        answer = httpx.get(f"{served.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert str(paid["id"]) not in answer.text
    found = read(answer)
    assert found["approvals_total", "APPROVED"] == 1
    assert found["approvals_total", "ALREADY_APPROVED"] == 2
    assert found["approvals_total", "INSUFFICIENT_CREDITS"] == 3
    assert found["video_faults_total", "bad_key"] == 3
    assert found["http_request_seconds_count", "/api/sessions/<session_id>", "200"] == 20
    assert found["http_request_seconds_count", "none", "404"] == 1
    assert found["supabase_calls_in_progress",] == 0


def test_a_worker_that_was_killed_leaves_its_counts_and_nothing_in_progress(
    log_file: Path, client: Person, slow: SlowSupabase
) -> None:
    def seen() -> dict[tuple[str, ...], float]:
        return read(
            httpx.get(f"{served.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        )

    with (
        ThreadPoolExecutor(1) as pool,
        serving(log_file, **slow.environment, METRICS_TOKEN=TOKEN) as served,
    ):
        for _ in range(10):
            httpx.get(f"{served.url}/healthz").raise_for_status()
        waiting = pool.submit(
            httpx.get, f"{served.url}/api/credits/user", headers=headers_of(client), timeout=30
        )
        assert slow.begun.wait(20)
        assert seen()["supabase_calls_in_progress",] == 1
        killed = psutil.Process(served.process.pid).children()
        end_at_once(killed)
        with pytest.raises(httpx.TransportError):
            waiting.result(30)

        answered = False  # by those that take the place of the killed
        until = time.monotonic() + 20
        while not answered:
            assert time.monotonic() < until
            with suppress(httpx.TransportError):
                answered = httpx.get(f"{served.url}/healthz").status_code == 200
        found = seen()

    assert len(killed) == 2
    assert found["http_request_seconds_count", "/healthz", "200"] >= 10
    assert found["supabase_calls_in_progress",] == 0
