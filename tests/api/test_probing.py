"""What an attacker can try: SQL in every field, other people's ids, and the time of an answer."""

import time
from statistics import median
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from werkzeug.test import TestResponse

from tests import actors
from tests.actors import Connection, Person, act_as, approve, contents, give_credits, propose
from tests.api.conftest import Api, assert_refused, headers_of
from tests.servers import Server

HOSTILE = [
    "'; drop table public.sessions; --",
    "' || (select string_agg(email, ',') from public.users) || '",
    "$$; update public.user_credits set credits_balance = 99; $$",
    "\\'; commit; --",
    "%s %(p_session_id)s {0} %I :x ${y}",
    '"},{"id":"x"},(select 1),{a,b}',
    "<script>alert(1)</script> \u202e \U0001f9d8 e\u0301",
]

# Every way to name a session: method, path, body.
BY_ID: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/api/sessions/approve", {"session_id": "ID"}),
    ("GET", "/api/sessions/ID", {}),
    ("POST", "/api/sessions/ID/decline", {}),
    ("POST", "/api/sessions/ID/cancel", {}),
    ("GET", "/api/sessions/ID/cancellation", {}),
    ("POST", "/api/sessions/ID/join", {}),
    ("POST", "/api/sessions/join", {"sessionId": "ID"}),
    ("POST", "/api/sessions/ID/finish", {}),
    ("GET", "/api/sessions?before=ID", {}),
]


def send(
    api: Api, person: Person, route: tuple[str, str, dict[str, Any]], id_: str
) -> TestResponse:
    """Send one of the requests of BY_ID."""
    method, path, body = route
    filled = {name: value.replace("ID", id_) for name, value in body.items()}
    json = {"json": filled} if method == "POST" else {}
    return api.http.open(path.replace("ID", id_), method=method, headers=headers_of(person), **json)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_sql_in_a_text_is_stored_as_text(
    api: Api, db: Connection, therapist: Person, client: Person, hostile: str
) -> None:
    give_credits(db, client, 3)
    others = contents(db)["public.users"]
    key = {"Idempotency-Key": f"{uuid4()} {hostile}".encode().decode("latin-1")}

    proposed = api.http.post(
        "/api/therapist/create-custom-session",
        headers={**headers_of(therapist), **key},
        json={
            "patient_id": str(client.id),
            "start_time": "2031-05-06T10:00:00Z",
            "title": hostile,
            "notes": hostile,
            "session_type": hostile[:50].strip(),
        },
    )
    assert proposed.status_code == 200, proposed.json
    session = proposed.json["session"]
    api.post(f"/api/sessions/{session['id']}/decline", client, reason=hostile)
    second = api.propose(therapist, client)
    api.approve(client, second)
    api.post(f"/api/sessions/{second['id']}/cancel", client, reason=hostile)

    history = api.get(f"/api/sessions/{session['id']}", client).json
    assert (history["session"]["title"], history["session"]["notes"]) == (hostile, hostile)
    assert history["session"]["session_type"] == hostile[:50].strip()
    assert history["events"][-1]["reason"] == hostile
    history = api.get(f"/api/sessions/{second['id']}", therapist).json
    assert history["events"][-1]["reason"] == hostile
    assert contents(db)["public.users"] == others
    assert actors.balances(db, client) == [3]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_sql_in_a_field_that_is_no_text_is_refused(
    api: Api, db: Connection, therapist: Person, client: Person, hostile: str
) -> None:
    before = contents(db)
    good = {"patient_id": str(client.id), "session_date": "2031-05-06", "session_time": "10:00"}

    for name in ("patient_id", "session_date", "session_time", "time_zone", "duration_minutes"):
        answer = api.post(
            "/api/therapist/create-custom-session", therapist, **{**good, name: hostile}
        )
        assert name in assert_refused(answer, 400, "VALIDATION_ERROR")
    for query in ("status", "upcoming", "limit", "before"):
        answer = api.get("/api/sessions", client, **{query: hostile})
        assert query in assert_refused(answer, 400, "VALIDATION_ERROR")
    answer = api.post("/api/sessions/approve", client, session_id=hostile)
    assert_refused(answer, 400, "VALIDATION_ERROR")

    assert contents(db) == before


@pytest.mark.parametrize("route", BY_ID, ids=lambda route: f"{route[0]} {route[1]}")
def test_another_persons_session_is_answered_like_a_missing_one(
    api: Api,
    db: Connection,
    therapist: Person,
    client: Person,
    stranger: Person,
    route: tuple[str, str, dict[str, Any]],
) -> None:
    give_credits(db, client, 3)
    other = actors.add_person(db, "therapist")
    pending = propose(db, therapist, client)
    approved = approve(db, client, propose(db, therapist, client))
    over = approve(db, client, propose(db, therapist, client))
    actors.change(db, "sessions", over["id"], status="completed")
    expired = propose(db, therapist, client)
    actors.change(db, "sessions", expired["id"], approval_expires_at="yesterday")

    for person in (stranger, other, actors.add_person(db, "partner")):
        answers = [
            send(api, person, route, str(id_))
            for id_ in (uuid4(), *(session["id"] for session in (pending, approved, over, expired)))
        ]
        assert {answer.status_code for answer in answers} <= {400, 404}
        assert len({answer.text for answer in answers}) == 1
        assert len({answer.headers["Content-Length"] for answer in answers}) == 1
        own = [set(answer.headers.keys()) for answer in answers]
        assert own.count(own[0]) == len(own)


def test_a_call_for_another_persons_session_does_not_wait_for_its_lock(
    server: Server,
    api_database: str,
    db: Connection,
    therapist: Person,
    client: Person,
    stranger: Person,
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    sqlstates = set()

    with actors.connect(server.uri(api_database), autocommit=False) as busy:
        db.execute("set lock_timeout = '5s'")
        busy.execute("select from public.sessions where id = %s for update", (session["id"],))
        for function in (
            "approve_session_and_deduct_credit",
            "decline_session",
            "cancel_session",
            "join_session",
            "finish_session",
            "get_session",
            "preview_cancellation",
        ):
            with pytest.raises(psycopg.Error) as refusal:
                actors.call(db, stranger, function, p_session_id=session["id"])
            sqlstates.add(refusal.value.sqlstate)
        db.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            actors.call(db, client, "decline_session", p_session_id=session["id"])
        busy.rollback()

    assert sqlstates == {"PT404"}


def test_another_persons_session_takes_as_long_as_a_missing_one(
    db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    sessions = [propose(db, therapist, client) for _ in range(20)]
    functions = ("approve_session_and_deduct_credit", "get_session", "preview_cancellation")
    times: dict[tuple[str, bool], list[float]] = {}

    def ask(function: str, id_: Any) -> float:
        began = time.perf_counter()
        with pytest.raises(psycopg.Error), db.transaction():
            db.execute(f"select from public.{function}(p_session_id => %s)", (id_,))
        return time.perf_counter() - began

    with act_as(db, stranger):
        for turn in range(200):  # by turns, so that the machine's other work slows both alike
            for function in functions:
                for is_there in (True, False):
                    id_ = sessions[turn % 20]["id"] if is_there else uuid4()
                    times.setdefault((function, is_there), []).append(ask(function, id_))

    for function in functions:
        ratio = median(times[function, True]) / median(times[function, False])
        assert 0.5 < ratio < 2, (function, ratio)
