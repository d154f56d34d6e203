"""Thirty-two threads act as thirty-two people: no answer contains another person's data.

Through the API as it is deployed and a real PostgREST. CROWD_CALLS chooses how many calls
each thread makes, and CROWD_SEED which.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from scripts.local.postgrest import PostgREST
from tests import actors
from tests.actors import Connection, Person
from tests.api.conftest import SECRET, headers_of
from tests.api.serving import serving

CALLS = int(os.environ.get("CROWD_CALLS", "20"))
SEED = int(os.environ.get("CROWD_SEED", "1"))
THREADS = PEOPLE = 32


@dataclass
class Pair:
    """A client and a therapist, and all words that only these two may read."""

    client: Person
    therapist: Person
    sessions: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Answer:
    """One call and its answer."""

    pair: int
    path: str
    status: int
    text: str


@pytest.fixture(scope="module")
def api_url(rest: PostgREST, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API as it is deployed, without video."""
    with serving(
        tmp_path_factory.mktemp("api") / "log",
        SUPABASE_URL="http://supabase.test",
        SUPABASE_REST_URL=rest.url,
        SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
        SUPABASE_JWT_SECRET=SECRET,
        RATE_LIMIT="off",
    ) as served:
        yield served.url


@pytest.fixture
def pairs(db: Connection) -> list[Pair]:
    """Sixteen pairs, each with credits and three sessions."""
    made = []
    for number in range(PEOPLE // 2):
        pair = Pair(actors.add_person(db, "individual"), actors.add_person(db, "therapist"))
        lot = actors.give_credits(db, pair.client, 5)
        for day in range(3):
            session = actors.propose(
                *(db, pair.therapist, pair.client),
                p_start_time=f"2031-07-{1 + day:02} 10:00Z",
                p_title=f"title-{number}-{day}-{pair.client.id.hex}",
                p_notes=f"notes-{number}-{day}-{pair.client.id.hex}",
            )
            pair.sessions.append(str(session["id"]))
        for person in (pair.client, pair.therapist):
            pair.words |= {str(person.id), person.id.hex, person.email, person.full_name}
        pair.words |= {str(lot), *pair.sessions}
        made.append(pair)
    return made


def one_call(
    http: httpx.Client, chance: random.Random, pairs: list[Pair], headers: dict[str, dict[str, str]]
) -> Answer:
    """Call as a person chosen at random, sometimes for another pair's session."""
    number = chance.randrange(len(pairs))
    pair = pairs[number]
    person = chance.choice([pair.client, pair.therapist])
    asked = pair if chance.random() < 0.8 else chance.choice(pairs)
    session = chance.choice(asked.sessions)
    method, path, body = chance.choice(
        [
            ("GET", "/api/sessions", None),
            ("GET", "/api/sessions/pending", None),
            ("GET", "/api/credits/user", None),
            ("GET", f"/api/sessions/{session}", None),
            ("GET", f"/api/sessions/{session}", None),
            ("GET", f"/api/sessions/{session}/cancellation", None),
            ("POST", "/api/sessions/approve", {"session_id": session}),
            ("POST", f"/api/sessions/{session}/decline", {"reason": f"of {pair.client.id.hex}"}),
        ]
    )
    answer = http.request(method, path, headers=headers[str(person.id)], json=body)
    return Answer(number, path, answer.status_code, answer.text + str(answer.headers))


def test_no_answer_contains_another_persons_data(api_url: str, pairs: list[Pair]) -> None:
    everybody = [person for pair in pairs for person in (pair.client, pair.therapist)]
    headers = {str(person.id): headers_of(person) for person in everybody}

    with (
        httpx.Client(
            base_url=api_url, timeout=60, limits=httpx.Limits(max_connections=THREADS)
        ) as http,
        ThreadPoolExecutor(THREADS) as pool,
    ):

        def work(thread: int) -> list[Answer]:
            chance = random.Random(SEED * 1000 + thread)  # noqa: S311 - draws requests, no secrets
            return [one_call(http, chance, pairs, headers) for _ in range(CALLS)]

        answers = [answer for made in pool.map(work, range(THREADS)) for answer in made]

    words = [(word, number) for number, pair in enumerate(pairs) for word in pair.words]
    leaks = [
        (answer, word)
        for answer in answers
        for word, number in words
        if number != answer.pair and word in answer.text
    ]
    assert leaks == []
    statuses = Counter(answer.status for answer in answers)
    assert len(answers) == THREADS * CALLS
    assert set(statuses) <= {200, 404, 409}, statuses
    assert statuses[200] > len(answers) / 3
    mine = sum(any(w in answer.text for w in pairs[answer.pair].words) for answer in answers)
    assert mine > len(answers) / 3
    print(f"{len(answers)} answers, {dict(statuses)}, {mine} with words of one's own")
