"""What Prometheus reads: all workers together, for whoever has the token."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.config import Settings
from scripts.local.postgrest import PostgREST
from tests.actors import Connection, Person, give_credits, propose
from tests.api.conftest import SECRET, Api, assert_refused, headers_of
from tests.api.serving import serving

TOKEN = "a token for metrics"


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
    found = {
        (sample.name, *(v for _, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["approvals_total", "APPROVED"] == 1
    assert found["approvals_total", "ALREADY_APPROVED"] == 2
    assert found["approvals_total", "INSUFFICIENT_CREDITS"] == 3
    assert found["video_faults_total", "bad_key"] == 3
    assert found["http_request_seconds_count", "/api/sessions/<session_id>", "200"] == 20
    assert found["http_request_seconds_count", "none", "404"] == 1
    assert found["supabase_calls_in_progress",] == 0
