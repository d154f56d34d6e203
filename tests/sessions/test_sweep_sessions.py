"""The sweep: puts away what time has ended, in any company, and nothing else."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import psycopg
import pytest

from tests import actors
from tests.actors import (
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
    configure,
    contents,
    events,
    give_credits,
    ledger,
    overtaken,
    propose,
    read_in_storage_order,
    row,
    three_connections,
    wait_until_blocked,
)
from tests.conftest import Refused


def sweep(db: Connection) -> Row:
    """Sweep once, as the server does."""
    [swept] = call_as(db, "service_role", None, "sweep_sessions")
    return swept


def swept(sessions: int, lots: int, closed: int = 0) -> Row:
    """What a sweep answers with."""
    return {"sessions_expired": sessions, "lots_expired": lots, "sessions_closed": closed}


def test_a_proposal_without_an_answer_in_time_is_cancelled(
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


def test_an_expired_proposal_gives_the_same_refusal_before_and_after_the_sweep(
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


def test_the_sweep_does_not_change_waiting_or_decided_sessions(
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


@pytest.mark.parametrize("user_type", ["individual", "user"])
def test_expired_credits_of_clients_are_written_off(
    db: Connection, client: Person, now: datetime, user_type: str
) -> None:
    lot = give_credits(db, client, 3, expires_at=now)
    change(db, "user_credits", lot, user_type=user_type)
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


def test_the_count_of_expired_credits_starts_from_null(db: Connection, client: Person) -> None:
    db.execute("alter table public.user_credits alter credits_expired drop not null")
    lot = give_credits(db, client, 3, expires_at="yesterday")
    change(db, "user_credits", lot, credits_expired=None)

    sweep(db)

    assert row(db, "user_credits", lot)["credits_expired"] == 3


def test_a_second_sweep_has_nothing_to_do(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 3, expires_at="yesterday")
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="yesterday")

    assert [sweep(db), sweep(db)] == [swept(1, 1), swept(0, 0)]


def test_one_sweep_takes_at_most_five_hundred_proposals_and_lots(
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


def test_a_sweep_skips_locked_rows(own_database: str) -> None:
    with (
        actors.connect(own_database) as db,
        actors.connect(own_database, autocommit=False) as busy,
    ):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        lots = [give_credits(db, client, 1, expires_at="yesterday") for _ in range(2)]
        sessions = [propose(db, therapist, client) for _ in range(2)]
        for session in sessions:
            change(db, "sessions", session["id"], approval_expires_at="yesterday")
        over = [propose(db, therapist, client) for _ in range(2)]
        for year, session in enumerate(over, 2020):
            give_credits(db, client)
            approve(db, client, session)
            when = {"start_time": f"{year}-01-01 10:00", "end_time": f"{year}-01-01 10:30"}
            change(db, "sessions", session["id"], **when)
        for session in (sessions[0], over[0]):
            busy.execute("select from public.sessions where id = %s for update", (session["id"],))
        busy.execute("select from public.user_credits where id = %s for update", (lots[0],))
        db.execute("set lock_timeout = '2s'")

        first = sweep(db)
        busy.rollback()

        assert [first, sweep(db)] == [swept(1, 1, 1), swept(1, 1, 1)]


def test_two_sweeps_at_once_handle_every_row_once(own_database: str) -> None:
    with actors.connect(own_database) as db:
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        for _ in range(40):
            give_credits(db, client, 2, expires_at="yesterday")
            session = propose(db, therapist, client)
            change(db, "sessions", session["id"], approval_expires_at="yesterday")
        start = Barrier(4)

        def place(_: int) -> Row:
            with actors.connect(own_database) as connection:
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
    with three_connections(own_database) as (db, sweeper, approver):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client, 2)
        session = propose(db, therapist, client)
        change(db, "sessions", session["id"], approval_expires_at="yesterday")
        sweeper.execute("select")
        assert sweep(sweeper) == swept(1, 0)

        answer = overtaken(db, sweeper, approver, lambda db: approve(db, client, session))
        with pytest.raises(psycopg.Error) as refused:
            answer.result()

        assert refused.value.diag.message_hint == "SESSION_EXPIRED"
        assert balances(db, client) == [2]


def test_an_approval_that_waits_for_a_sweep_takes_a_lot_that_has_not_expired(
    own_database: str,
) -> None:
    with three_connections(own_database) as (db, sweeper, approver):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        session = propose(db, therapist, client)
        # The approval started first: at its time the lot can pay. At the sweep's time it cannot.
        approver.execute("begin")
        expiring = give_credits(db, client, 1, expires_at="now")
        lasting = give_credits(db, client, 1)
        sweeper.execute("select")
        assert sweep(sweeper) == swept(0, 1)

        overtaken(db, sweeper, approver, lambda db: approve(db, client, session)).result()
        approver.execute("commit")

        assert row(db, "sessions", session["id"])["credit_lot_id"] == lasting
        assert [(e["kind"], e["lot_id"]) for e in ledger(db, client)][2:] == [
            ("expiry", expiring),
            ("approval", lasting),
        ]


# Sessions whose end has passed.


@pytest.fixture
def session(db: Connection, therapist: Person, client: Person, now: datetime) -> Row:
    """An approved session that ended sixteen minutes ago, paid from a lot of three."""
    give_credits(db, client, 3)
    approved = approve(db, client, propose(db, therapist, client))
    ended = now - timedelta(minutes=16)
    change(db, "sessions", approved["id"], start_time=ended - timedelta(minutes=30), end_time=ended)
    return approved


def closed(db: Connection, session: Row) -> tuple[str, str | None, str | None]:
    """How a session stands: its status, and who changed it last in which words."""
    latest = events(db, session)[-1]
    status: str = row(db, "sessions", session["id"])["status"]
    assert latest["to_status"] == status
    return status, latest["actor_id"], latest["reason"]


@pytest.mark.parametrize(
    ("status", "ends_as", "reason"),
    [
        ("in_progress", "completed", "Its end has passed"),
        ("scheduled", "no_show", "Nobody joined"),
        ("confirmed", "no_show", "Nobody joined"),
    ],
)
def test_a_joined_session_becomes_completed_and_a_session_without_a_join_a_no_show(
    db: Connection, client: Person, session: Row, status: str, ends_as: str, reason: str
) -> None:
    change(db, "sessions", session["id"], status=status)

    assert [sweep(db), sweep(db)] == [swept(0, 0, 1), swept(0, 0)]

    assert closed(db, session) == (ends_as, None, reason)
    assert balances(db, client) == [2 if ends_as == "completed" else 3]
    assert db.execute("select from session_approval.bookings").fetchall() == []


def test_a_session_that_was_really_joined_is_completed(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    give_credits(db, client)
    session = approve(db, client, propose(db, therapist, client, p_is_instant=True))
    call(db, client, "join_session", p_session_id=session["id"])
    change(db, "sessions", session["id"], start_time=now - timedelta(hours=1), end_time=now)
    configure(db, finish_after="0")

    assert sweep(db) == swept(0, 0, 1)
    assert closed(db, session)[0] == "completed"


@pytest.mark.parametrize(("after", "is_closed"), [(60, True), (61, False)])
def test_the_sweep_closes_a_session_after_the_time_in_the_setting(
    db: Connection, session: Row, now: datetime, after: int, is_closed: bool
) -> None:
    configure(db, finish_after=timedelta(minutes=after))
    change(
        db,
        "sessions",
        session["id"],
        end_time=now - timedelta(hours=1),
        start_time=now - timedelta(hours=2),
    )

    assert sweep(db) == swept(0, 0, int(is_closed))


@pytest.mark.parametrize("refunds", [True, False])
def test_a_session_without_a_join_is_refunded_once_if_the_policy_says_so(
    db: Connection, therapist: Person, client: Person, session: Row, refunds: bool
) -> None:
    configure(db, refund_unattended=refunds)

    for _ in range(2):
        sweep(db)
    call(db, therapist, "finish_session", p_session_id=session["id"], p_outcome="completed")
    change(db, "sessions", session["id"], status="scheduled")
    sweep(db)

    assert balances(db, client) == [3 if refunds else 2]
    kinds = [(entry["kind"], entry["delta"]) for entry in ledger(db, client)]
    assert kinds[1:] == [("approval", -1), ("refund", 1)][: 2 if refunds else 1]
    if refunds:
        entry = ledger(db, client)[-1]
        assert (entry["session_id"], entry["lot_id"], entry["actor_id"]) == (
            session["id"],
            row(db, "sessions", session["id"])["credit_lot_id"],
            None,
        )
    assert call_as(db, "service_role", None, "reconcile_credits") == []


def test_a_joined_session_is_never_refunded(db: Connection, client: Person, session: Row) -> None:
    configure(db, refund_unattended=True)
    change(db, "sessions", session["id"], status="in_progress")

    sweep(db)

    assert balances(db, client) == [2]


@pytest.mark.parametrize("status", ["scheduled", "confirmed", "in_progress"])
def test_the_sweep_does_not_change_sessions_of_the_old_code(
    db: Connection, therapist: Person, client: Person, status: str
) -> None:
    configure(db, refund_unattended=True)
    db.execute(
        "insert into public.sessions (user_id, therapist_id, status, start_time, end_time)"
        " values (%s, %s, %s, '2020-01-01 10:00', '2020-01-01 11:00')",
        (client.id, therapist.id, status),
    )
    before = contents(db)

    assert sweep(db) == swept(0, 0)
    assert contents(db) == before


@pytest.mark.parametrize("status", ["completed", "no_show", "cancelled"])
def test_the_sweep_does_not_change_a_session_that_has_already_ended(
    db: Connection, session: Row, status: str
) -> None:
    change(db, "sessions", session["id"], status=status)

    assert sweep(db) == swept(0, 0)


def test_one_sweep_closes_at_most_five_hundred_sessions_oldest_end_first(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute(
        "insert into public.sessions"
        " (user_id, therapist_id, status, requires_approval, start_time, end_time)"
        " select %s, %s, 'scheduled', true, t, t + interval '1 minute' from generate_series("
        "   now() - interval '501 minutes', now() - interval '1 minute', '1 minute') t"
        " order by t desc",
        (client.id, therapist.id),
    )
    configure(db, finish_after="0")
    read_in_storage_order(db)

    assert sweep(db) == swept(0, 0, 500)
    [left] = db.execute(
        "select end_time = now() as ended_last from public.sessions where status = 'scheduled'"
    ).fetchall()
    assert left["ended_last"]
    assert [sweep(db), sweep(db)] == [swept(0, 0, 1), swept(0, 0)]


def test_two_sweeps_at_once_close_and_refund_every_session_once(
    own_database: str,
) -> None:
    with actors.connect(own_database) as db:
        therapist = add_person(db, "therapist")
        client = add_person(db, "individual")
        for _ in range(20):
            give_credits(db, client)
            session = approve(db, client, propose(db, therapist, client))
            assert session["status"] == "scheduled"
        db.execute(
            "update public.sessions set start_time = start_time - interval '3 days',"
            " end_time = end_time - interval '3 days'"
        )
        configure(db, refund_unattended=True)
        start = Barrier(4)

        def place(_: int) -> Row:
            with actors.connect(own_database) as connection:
                connection.execute("set lock_timeout = '2s'")
                start.wait(30)
                return sweep(connection)

        with ThreadPoolExecutor(4) as pool:
            answers = [*pool.map(place, range(4)), sweep(db)]

        assert sum(answer["sessions_closed"] for answer in answers) == 20
        assert balances(db, client) == [1] * 20
        kinds = Counter(entry["kind"] for entry in ledger(db, client))
        assert (kinds["approval"], kinds["refund"]) == (20, 20)


def test_credits_go_back_in_the_order_in_which_approvals_lock_lots(own_database: str) -> None:
    with (
        actors.connect(own_database) as db,
        actors.connect(own_database, autocommit=False) as busy,
        actors.connect(own_database) as sweeper,
        actors.connect(own_database) as third,
        ThreadPoolExecutor(1) as pool,
    ):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        lots = sorted(give_credits(db, client, 5) for _ in range(2))
        sessions = [propose(db, therapist, client) for _ in range(2)]
        for session, lot in zip(sessions, reversed(lots), strict=True):
            change(db, "user_credits", lot, expires_at="2100-01-01")
            approve(db, client, session)
            change(db, "user_credits", lot, expires_at=None)
            assert row(db, "sessions", session["id"])["credit_lot_id"] == lot
        # The session that the later lot paid for ended first.
        db.execute(
            "update public.sessions set start_time = start_time - interval '3 days',"
            " end_time = end_time - interval '3 days'"
        )
        configure(db, refund_unattended=True)
        busy.execute("select from public.user_credits where id = %s for update", (lots[0],))

        answer = pool.submit(sweep, sweeper)
        wait_until_blocked(db, sweeper)
        try:
            third.execute(
                "select from public.user_credits where id = %s for update nowait", (lots[1],)
            )
        finally:
            busy.rollback()

        assert answer.result(20) == swept(0, 0, 2)


# Corrections after the sweep.


@pytest.mark.parametrize(
    ("status", "outcome"), [("in_progress", "no_show"), ("scheduled", "completed")]
)
def test_the_therapist_can_correct_once_how_the_sweep_closed_a_session(
    db: Connection, therapist: Person, session: Row, refused: Refused, status: str, outcome: str
) -> None:
    change(db, "sessions", session["id"], status=status)
    sweep(db)
    ends_as = row(db, "sessions", session["id"])["status"]
    finish = {"p_session_id": session["id"]}

    call(db, therapist, "finish_session", **finish, p_outcome=outcome)

    assert closed(db, session) == (outcome, therapist.id, None)
    with refused(409, "SESSION_NOT_FINISHABLE"):
        call(db, therapist, "finish_session", **finish, p_outcome=ends_as)
    call(db, therapist, "finish_session", **finish, p_outcome=outcome)


def test_agreeing_with_the_sweep_changes_nothing(
    db: Connection, therapist: Person, session: Row
) -> None:
    sweep(db)
    before = contents(db)

    call(db, therapist, "finish_session", p_session_id=session["id"], p_outcome="no_show")

    assert contents(db) == before


def test_the_therapist_cannot_correct_a_decision_that_a_person_made(
    db: Connection, therapist: Person, session: Row, refused: Refused
) -> None:
    change(db, "sessions", session["id"], status="in_progress")
    with act_as(db, therapist, "service_role"):
        change(db, "sessions", session["id"], status="completed")

    with refused(409, "SESSION_NOT_FINISHABLE") as refusal:
        call(db, therapist, "finish_session", p_session_id=session["id"], p_outcome="no_show")
    assert refusal.details == {"status": "completed"}


def test_only_the_server_can_sweep(db: Connection) -> None:
    for role in ("anon", "authenticated"):
        for schema in ("public", "session_approval"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                db.transaction(),
                act_as(db, None, role),
            ):
                db.execute(f"select {schema}.sweep_sessions()")
