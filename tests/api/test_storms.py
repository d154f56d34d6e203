"""Many requests at once, through the API as it is served: one credit, one answer."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from scripts.local.postgrest import PostgREST
from tests import actors
from tests.actors import Connection, Person, give_credits, propose
from tests.api.conftest import DAILY_KEY, SECRET, headers_of
from tests.api.serving import serving


@pytest.fixture(scope="module")
def api_url(
    rest: PostgREST, daily_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The API as it is deployed."""
    with serving(
        tmp_path_factory.mktemp("api") / "log",
        SUPABASE_URL="http://supabase.test",
        SUPABASE_REST_URL=rest.url,
        SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
        SUPABASE_JWT_SECRET=SECRET,
        DAILY_API_KEY=DAILY_KEY,
        DAILY_API_URL=f"{daily_url}/v1",
    ) as served:
        yield served.url


def approve_all(
    api_url: str, requests: list[tuple[Person, str]], threads: int
) -> list[httpx.Response]:
    """Send every approval at once, each from a thread of its own."""
    with (
        httpx.Client(timeout=60, limits=httpx.Limits(max_connections=threads)) as http,
        ThreadPoolExecutor(threads) as pool,
    ):

        def send(request: tuple[Person, str]) -> httpx.Response:
            person, session_id = request
            return http.post(
                f"{api_url}/api/sessions/approve",
                headers=headers_of(person),
                json={"session_id": session_id},
            )

        return list(pool.map(send, requests))


def test_sixty_four_approvals_of_one_session_take_one_credit_and_answer_the_same(
    api_url: str, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 5)
    session = propose(db, therapist, client)

    answers = approve_all(api_url, [(client, str(session["id"]))] * 64, 64)

    assert {answer.status_code for answer in answers} == {200}
    sessions = [answer.json()["session"] for answer in answers]
    assert Counter(s.pop("already_approved") for s in sessions) == {True: 63, False: 1}
    assert all(s == sessions[0] for s in sessions)
    assert {answer.json()["message"] for answer in answers} == {"Session approved successfully."}
    assert actors.balances(db, client) == [4]
    assert [e["kind"] for e in actors.ledger(db, client)] == ["external", "approval"]


def test_fifty_approvals_with_one_credit_give_one_success_and_49_times_402(
    api_url: str, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    sessions = [
        propose(db, therapist, client, p_start_time=f"2031-{1 + i // 25:02}-{1 + i % 25:02} 10:00Z")
        for i in range(50)
    ]

    answers = approve_all(api_url, [(client, str(s["id"])) for s in sessions], 50)

    assert Counter(answer.status_code for answer in answers) == {200: 1, 402: 49}
    assert actors.balances(db, client) == [0]


def test_credits_in_several_lots_are_all_spent_before_an_approval_is_refused(
    api_url: str, db: Connection, therapist: Person, client: Person
) -> None:
    for amount in (1, 2, 1, 3):
        give_credits(db, client, amount)
    sessions = [
        propose(db, therapist, client, p_start_time=f"2031-03-{1 + i:02} 10:00Z") for i in range(20)
    ]

    answers = approve_all(api_url, [(client, str(s["id"])) for s in sessions], 20)

    assert Counter(answer.status_code for answer in answers) == {200: 7, 402: 13}
    assert sum(actors.balances(db, client)) == 0
