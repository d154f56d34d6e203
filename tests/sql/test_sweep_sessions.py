"""The sweep: puts away what time has ended, in any company, and nothing else."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import psycopg
import pytest

from tests import people
from tests.conftest import Refused
from tests.people import (
    Connection,
    Person,
    Row,
    act_as,
    add_person,
    approve,
    balances,
    call,
    call_as,
    change,
    contents,
    events,
    give_credits,
    ledger,
    propose,
    row,
    wait_until_blocked,
)


def sweep(db: Connection) -> Row:
    """Sweep once, as the server does."""
    [swept] = call_as(db, "service_role", None, "sweep_sessions")
    return swept


def swept(sessions: int, lots: int, closed: int = 0) -> Row:
    """What a sweep answers with."""
    return {"sessions_expired": sessions, "lots_expired": lots, "sessions_closed": closed}


def test_what_nobody_answered_in_time_is_cancelled(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    session = propose(db, therapist, client)
    change(
        db,
        "sessions",
        session["id"],
        approval_expires_at=now,
        session_url="https://old.daily.co/x",
    )
    [before] = call(db, client, "list_sessions")

    assert sweep(db) == swept(1, 0)

    stored = row(db, "sessions", session["id"])
    assert (stored["status"], stored["cancellation_reason"]) == ("cancelled", "expired")
    assert (stored["cancelled_at"], stored["cancelled_by"]) == (now, None)
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("pending_approval", "cancelled")
    assert (latest["actor_id"], latest["reason"]) == (None, "Nobody answered in time")
    assert call(db, client, "list_sessions") == [before]


def test_swept_or_not_an_expired_proposal_answers_the_same(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="now")

    said = []
    for _ in range(2):
        with refused(410, "SESSION_EXPIRED") as refusal:
            approve(db, client, session)
        said.append((refusal.message, refusal.details))
        sweep(db)

    assert said[0] == said[1]


def test_what_still_waits_or_is_decided_is_left_alone(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    give_credits(db, client)
    approved = approve(db, client, propose(db, therapist, client))
    change(db, "sessions", approved["id"], approval_expires_at="yesterday")
    waiting, unlimited = (propose(db, therapist, client) for _ in range(2))
    change(db, "sessions", waiting["id"], approval_expires_at=now + timedelta(microseconds=1))
    change(db, "sessions", unlimited["id"], approval_expires_at=None)
    before = contents(db)

    assert sweep(db) == swept(0, 0)
    assert contents(db) == before


def test_expired_credits_of_clients_are_written_off(
    db: Connection, client: Person, now: datetime
) -> None:
    lot = give_credits(db, client, 3, expires_at=now)
    kept = [
        give_credits(db, client, 3, expires_at=now + timedelta(microseconds=1)),
        give_credits(db, client, 3),
        give_credits(db, client, 0, expires_at=now),
    ]
    partners = give_credits(db, client, 3, expires_at=now)
    change(db, "user_credits", partners, user_type="partner")
    before = [row(db, "user_credits", lot_id) for lot_id in (*kept, partners)]

    assert sweep(db) == swept(0, 1)

    stored = row(db, "user_credits", lot)
    assert (stored["credits_balance"], stored["credits_expired"]) == (0, 3)
    entry = ledger(db, client)[-1]
    assert (entry["kind"], entry["delta"], entry["lot_id"]) == ("expiry", -3, lot)
    assert [row(db, "user_credits", lot_id) for lot_id in (*kept, partners)] == before


def test_a_second_sweep_finds_nothing(db: Connection, therapist: Person, client: Person) -> None:
    give_credits(db, client, 3, expires_at="yesterday")
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="yesterday")

    assert [sweep(db), sweep(db)] == [swept(1, 1), swept(0, 0)]


def test_it_takes_at_most_five_hundred_of_each_at_a_time(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute(
        "insert into public.sessions (user_id, therapist_id, status, start_time, end_time,"
        " approval_expires_at) select %s, %s, 'pending_approval', now(), now() + interval '1 hour',"
        " now() from generate_series(1, 501)",
        (client.id, therapist.id),
    )
    db.execute(
        "insert into public.user_credits (user_id, credits_balance, expires_at)"
        " select %s, 1, now() from generate_series(1, 501)",
        (client.id,),
    )

    assert [sweep(db), sweep(db), sweep(db)] == [swept(500, 500), swept(1, 1), swept(0, 0)]


def test_it_passes_by_what_somebody_else_is_busy_with(own_database: str) -> None:
    with (
        people.connect(own_database) as db,
        people.connect(own_database, autocommit=False) as busy,
    ):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        lots = [give_credits(db, client, 1, expires_at="yesterday") for _ in range(2)]
        sessions = [propose(db, therapist, client) for _ in range(2)]
        for session in sessions:
            change(db, "sessions", session["id"], approval_expires_at="yesterday")
        busy.execute("select from public.sessions where id = %s for update", (sessions[0]["id"],))
        busy.execute("select from public.user_credits where id = %s for update", (lots[0],))
        db.execute("set lock_timeout = '2s'")

        first = sweep(db)
        busy.rollback()

        assert [first, sweep(db)] == [swept(1, 1), swept(1, 1)]


def test_from_two_places_at_once_everything_is_put_away_once(own_database: str) -> None:
    with people.connect(own_database) as db:
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        for _ in range(40):
            give_credits(db, client, 2, expires_at="yesterday")
            session = propose(db, therapist, client)
            change(db, "sessions", session["id"], approval_expires_at="yesterday")
        start = Barrier(4)

        def place(_: int) -> Row:
            with people.connect(own_database) as connection:
                connection.execute("set lock_timeout = '2s'")
                start.wait(30)
                return sweep(connection)

        with ThreadPoolExecutor(4) as pool:
            answers = [*pool.map(place, range(4)), sweep(db)]

        assert sum(answer["sessions_expired"] for answer in answers) == 40
        assert sum(answer["lots_expired"] for answer in answers) == 40
        assert Counter(entry["kind"] for entry in ledger(db, client)) == {
            "external": 40,
            "expiry": 40,
        }


def test_a_proposal_that_expires_while_its_approval_waits_is_swept_or_approved_never_both(
    own_database: str,
) -> None:
    with (
        people.connect(own_database) as db,
        people.connect(own_database, autocommit=False) as sweeper,
        people.connect(own_database) as approver,
        ThreadPoolExecutor(1) as pool,
    ):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client, 2)
        session = propose(db, therapist, client)
        change(db, "sessions", session["id"], approval_expires_at="yesterday")
        sweeper.execute("select")
        assert sweep(sweeper) == swept(1, 0)

        waiting = pool.submit(approve, approver, client, session)
        wait_until_blocked(db, approver)
        sweeper.commit()
        with pytest.raises(psycopg.Error) as refused:
            waiting.result(20)

        assert refused.value.diag.message_hint == "SESSION_EXPIRED"
        assert balances(db, client) == [2]


def test_an_approval_that_waits_for_a_sweep_is_paid_from_a_lot_that_has_not_expired(
    own_database: str,
) -> None:
    with (
        people.connect(own_database) as db,
        people.connect(own_database, autocommit=False) as sweeper,
        people.connect(own_database) as approver,
        ThreadPoolExecutor(1) as pool,
    ):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        session = propose(db, therapist, client)
        # To the approval's clock, which starts first, the lot can still pay; to the sweep's not.
        approver.execute("begin")
        expiring = give_credits(db, client, 1, expires_at="now")
        lasting = give_credits(db, client, 1)
        sweeper.execute("select")
        assert sweep(sweeper) == swept(0, 1)

        waiting = pool.submit(approve, approver, client, session)
        wait_until_blocked(db, approver)
        sweeper.commit()
        waiting.result(20)
        approver.execute("commit")

        assert row(db, "sessions", session["id"])["credit_lot_id"] == lasting
        assert [(e["kind"], e["lot_id"]) for e in ledger(db, client)][2:] == [
            ("expiry", expiring),
            ("approval", lasting),
        ]


def test_only_the_server_sweeps(db: Connection) -> None:
    for role in ("anon", "authenticated"):
        for schema in ("public", "session_approval"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                db.transaction(),
                act_as(db, None, role),
            ):
                db.execute(f"select {schema}.sweep_sessions()")
