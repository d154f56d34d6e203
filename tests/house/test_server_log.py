"""Postgres logs every refusal: no name, title, note or reason of anybody stands in its log."""

import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scripts.local.postgres import EmbeddedPostgres
from scripts.operate import psql
from tests import actors
from tests.actors import Connection, Person, approve, call, change, free_slot, propose
from tests.servers import _FAST

SECRETS = {
    "therapist": "Tamsin Threlkeld",
    "client": "Caspian Crowther",
    "other": "Odalys Ormerod",
    "title": "Grieving a twin",
    "other title": "Fear of lifts",
    "notes": "He drinks since May",
    "reason": "Her father died",
    "of the application": "Off sick, says Tamsin",
    "search": "threlk",
}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server with the product installed, whose settings for its log are the defaults."""
    with (
        tempfile.TemporaryDirectory(prefix="sa-log-") as folder,
        EmbeddedPostgres(Path(folder) / "pg", config=_FAST) as started,
    ):
        psql.apply(started.uri(), [psql.SUPABASE, psql.STARTER, psql.INSTALL])
        yield started


@pytest.fixture
def db(server: EmbeddedPostgres) -> Iterator[Connection]:
    """A connection to it."""
    with actors.connect(server.uri()) as connection:
        yield connection


@pytest.fixture
def therapist(db: Connection) -> Person:
    """A therapist."""
    return actors.add_person(db, "therapist", SECRETS["therapist"])


@pytest.fixture
def client(db: Connection) -> Person:
    """A client with credits for two sessions."""
    person = actors.add_person(db, "individual", SECRETS["client"])
    actors.give_credits(db, person, 2)
    return person


def story(db: Connection, therapist: Person, client: Person) -> Iterator[Callable[[], Any]]:
    """Yield calls, each of which is refused, out of the life of two people and a third."""
    other = actors.add_person(db, "individual", SECRETS["other"])
    texts = {"p_title": SECRETS["title"], "p_notes": SECRETS["notes"]}
    start = free_slot(db)
    session = propose(db, therapist, client, p_start_time=start, p_request_key="a-key", **texts)
    session_id = session["id"]

    def proposing(**arguments: Any) -> Callable[[], Any]:
        return lambda: propose(db, therapist, other, **{**texts, **arguments})

    def calling(person: Person, function: str, **arguments: Any) -> Callable[[], Any]:
        return lambda: call(db, person, function, **arguments)

    # A proposal.
    yield proposing(p_start_time=start)
    yield proposing(p_start_time=start, p_request_key="a-key", p_title=SECRETS["other title"])
    yield proposing(p_title=SECRETS["title"] * 20, p_notes=SECRETS["notes"] * 300)
    yield proposing(p_start_time="tomorrow")
    yield proposing(p_session_date="2030-03-31", p_session_time="02:30", p_time_zone="Europe/Rome")
    yield calling(client, "create_custom_session", p_patient_id=other.id, **texts)
    yield calling(client, "list_clients", p_search=SECRETS["search"])
    yield calling(therapist, "list_clients", p_search=SECRETS["search"] * 40)
    yield calling(therapist, "check_availability", p_start_time="now")

    # An approval.
    yield calling(other, "approve_session_and_deduct_credit", p_session_id=session_id)
    poor = propose(db, therapist, other, p_title=SECRETS["other title"], p_start_time=later(start))
    yield calling(other, "approve_session_and_deduct_credit", p_session_id=poor["id"])
    yield calling(
        client, "decline_session", p_session_id=session_id, p_reason=SECRETS["reason"] * 90
    )
    approve(db, client, session)
    actors.give_credits(db, other)
    instant = propose(db, therapist, other, p_is_instant=True, **texts)
    change(db, "sessions", session_id, start_time="now")
    yield calling(other, "approve_session_and_deduct_credit", p_session_id=instant["id"])
    change(db, "sessions", session_id, start_time=start)
    yield calling(client, "join_session", p_session_id=session_id)
    yield calling(client, "decline_session", p_session_id=session_id)
    yield calling(therapist, "finish_session", p_session_id=session_id)

    # The end.
    change(
        db,
        "sessions",
        session_id,
        status="cancelled",
        cancellation_reason=SECRETS["of the application"],
    )
    for function in (
        "approve_session_and_deduct_credit",
        "cancel_session",
        "decline_session",
        "join_session",
    ):
        yield calling(client, function, p_session_id=session_id)
    yield lambda: db.execute(
        "insert into public.sessions (user_id, therapist_id, start_time, end_time, title,"
        " requires_approval, status) values (%s, %s, %s, %s, %s, true, 'scheduled')",
        (
            client.id,
            therapist.id,
            later(start),
            later(start) + timedelta(hours=1),
            texts["p_title"],
        ),
    )


def later(start: datetime) -> datetime:
    """Return the same time of the next day."""
    return start + timedelta(days=1)


def test_no_name_title_note_or_reason_reaches_the_log_of_the_server(
    server: EmbeddedPostgres, db: Connection, therapist: Person, client: Person
) -> None:
    codes: set[str] = set()
    for refused in story(db, therapist, client):
        with pytest.raises(psycopg.Error) as caught:
            refused()
        said = caught.value.diag
        assert (said.sqlstate or "")[:2] == "PT", caught.value
        codes.add(said.message_hint or "")
    log = server.log.read_text()

    assert codes == {
        *("TIME_SLOT_CONFLICT", "IDEMPOTENCY_CONFLICT", "VALIDATION_ERROR", "AUTHORIZATION_ERROR"),
        *("NONEXISTENT_LOCAL_TIME", "SESSION_NOT_FOUND", "INSUFFICIENT_CREDITS"),
        *("SESSION_NOT_OPEN", "SESSION_NOT_PENDING", "SESSION_NOT_FINISHABLE"),
        *("SESSION_NOT_CANCELLABLE", "SESSION_CANCELLED"),
    }
    for code in codes:
        assert f"HINT:  {code}" in log
    assert log.count("DETAIL:  {") > len(codes)
    assert '"suggested_times"' in log
    found = [what for what, secret in SECRETS.items() if secret.lower() in log.lower()]
    assert found == []
    assert therapist.email not in log
    assert client.email not in log
