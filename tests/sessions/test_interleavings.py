"""Every two acts at once on the same two people: no deadlock, nothing lost, only known refusals.

The first act's transaction is open when the second starts, and is then kept or undone. Or both are
under way: somebody else holds what they need half-way through (the client's lots, or the
calendars), and lets go when both have come as far as they can.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from scripts import ROOT
from tests import actors
from tests.actors import (
    Connection,
    Person,
    Row,
    add_person,
    approve,
    call,
    call_as,
    change,
    configure,
    give_credits,
    propose,
)
from tests.servers import Server

APPROVE = "approve_session_and_deduct_credit"
HALF = timedelta(minutes=30)

# The README's table of refusals, with what the calendar and an operator's correction add. Every
# call here has valid arguments, and every caller is the person they say they are.
DOCUMENTED = {
    **dict(re.findall(r"^\| ([A-Z_]+) \| (\d{3}) \|", (ROOT / "README.md").read_text(), re.M)),
    "TIME_SLOT_CONFLICT": "409",
    "CREDITS_BELOW_ZERO": "409",
}
NEVER = {"VALIDATION_ERROR", "AUTHENTICATION_ERROR", "AUTHORIZATION_ERROR", "SESSION_NOT_FOUND"}


@dataclass
class Two:
    """Two people, what they own, and a time that creators want."""

    therapist: Person
    client: Person
    lots: list[UUID]
    slot: datetime
    reference: str = field(default_factory=lambda: uuid4().hex)


Act = Callable[[Connection, Two, Row], Any]


def by(who: str, function: str) -> Act:
    """The act of one of the two on a session."""
    return lambda db, two, session: call(
        db, getattr(two, who), function, p_session_id=session["id"]
    )


def insert(db: Connection, two: Two, _: Row) -> None:
    """Older code inserts a session."""
    db.execute(
        "insert into public.sessions (therapist_id, user_id, start_time, end_time)"
        " values (%s, %s, %s, %s)",
        (two.therapist.id, two.client.id, two.slot, two.slot + HALF),
    )


# Every act, and the state of the session that it needs to succeed.
ACTS: dict[str, tuple[str | None, Act]] = {
    "create scheduled": (
        None,
        lambda db, two, _: propose(db, two.therapist, two.client, p_start_time=two.slot),
    ),
    "create over an expired one": (
        "expired",
        lambda db, two, _: propose(db, two.therapist, two.client, p_start_time=two.slot),
    ),
    "create instant": (
        None,
        lambda db, two, _: propose(db, two.therapist, two.client, p_is_instant=True),
    ),
    "approve scheduled": ("pending", by("client", APPROVE)),
    "approve unheld": ("unheld", by("client", APPROVE)),
    "approve instant": ("instant", by("client", APPROVE)),
    "decline": ("pending", by("client", "decline_session")),
    "withdraw": ("pending", by("therapist", "cancel_session")),
    "cancel as client": ("approved", by("client", "cancel_session")),
    "cancel as therapist": ("approved", by("therapist", "cancel_session")),
    "join": ("approved", by("client", "join_session")),
    "finish": ("in progress", by("therapist", "finish_session")),
    "sweep": (
        "over",
        lambda db, _, __: call_as(db, "service_role", None, "sweep_sessions"),
    ),
    "grant": (
        None,
        lambda db, two, _: call_as(
            db,
            "service_role",
            None,
            "grant_credits",
            p_user_id=two.client.id,
            p_amount=2,
            p_source="shop",
            p_reference=two.reference,
        ),
    ),
    "adjust": (
        None,
        lambda db, two, _: call_as(
            db,
            "service_role",
            None,
            "adjust_credits",
            p_lot_id=two.lots[1],
            p_delta=-1,
            p_reason="Told on the phone",
            p_actor_id=two.therapist.id,
        ),
    ),
    "insert older": (None, insert),
    "update a lot": (
        None,
        lambda db, two, _: db.execute(
            "update public.user_credits set credits_balance = credits_balance + 1 where id = %s",
            (two.lots[0],),
        ),
    ),
}
CREATORS = {"create scheduled"}
HOLDING = {"pending", "unheld", "approved", "in progress"}


def stand(db: Connection, two: Two, state: str | None, start: datetime) -> Row:
    """Make a session that stands as it must."""
    if state is None:
        return {"id": None, "start_time": start}
    if state == "instant":
        session = propose(db, two.therapist, two.client, p_is_instant=True)
        return {**session, "start_time": datetime.now(UTC) + timedelta(minutes=10)}
    if state == "unheld":
        configure(db, block_pending_slots=False)
    title = state.capitalize()
    session = propose(db, two.therapist, two.client, p_start_time=start, p_title=title)
    if state == "unheld":
        configure(db, block_pending_slots=True)
    if state == "expired":
        change(db, "sessions", session["id"], approval_expires_at="now")
    if state in ("approved", "in progress", "over"):
        approve(db, two.client, session)
    if state == "in progress":
        change(db, "sessions", session["id"], status="in_progress")
    if state == "over":
        past = start - timedelta(days=9)
        change(db, "sessions", session["id"], start_time=past, end_time=past + HALF)
    return session


@dataclass(frozen=True)
class Stage:
    """A database with connections for everybody who takes part."""

    owner: Connection
    first: Connection
    second: Connection
    gate: Connection
    pool: ThreadPoolExecutor

    def settled(self, db: Connection, answer: "Future[Any]") -> None:
        """Return once somebody has an answer or waits for a lock."""
        pid = db.info.backend_pid
        while not answer.done():
            [state] = self.owner.execute(
                "select cardinality(pg_blocking_pids(%s)) > 0 as waits", (pid,)
            ).fetchall()
            if state["waits"]:
                return


@pytest.fixture(scope="module")
def stage(server: Server) -> Iterator[Stage]:
    """One database for all of these tests; every case brings people of its own."""
    with ExitStack() as stack:
        address = stack.enter_context(server.database(f"test_stage_{uuid4().hex[:8]}"))
        owner = stack.enter_context(actors.connect(address))
        configure(owner, join_early="30 days", refund_unattended=True, finish_after="0")
        first, gate = (
            stack.enter_context(actors.connect(address, autocommit=False)) for _ in range(2)
        )
        second = stack.enter_context(actors.connect(address))
        pool = stack.enter_context(ThreadPoolExecutor(2))
        yield Stage(owner, first, second, gate, pool)


def attempt(act: Callable[[], Any]) -> None:
    """Do something; whatever is not a refusal of ours is a defect."""
    try:
        act()
    except psycopg.Error as error:
        code = str(error.diag.message_hint)
        if code in NEVER or error.sqlstate != f"PT{DOCUMENTED.get(code)}":
            raise


def perform(stage: Stage, names: tuple[str, str], sessions: list[Row], two: Two, how: str) -> None:
    """Let two acts meet."""
    acts = [ACTS[name][1] for name in names]
    stage.first.execute("select")

    def do_first() -> None:
        acts[0](stage.first, two, sessions[0])

    def do_second() -> None:
        with stage.second.transaction():
            acts[1](stage.second, two, sessions[1])

    if how in ("first is kept", "first is undone"):
        do_first()
        second = stage.pool.submit(attempt, do_second)
        stage.settled(stage.second, second)
        if how == "first is kept":
            stage.first.commit()
        else:
            stage.first.rollback()
        second.result(20)
        return

    if how == "lots are held":
        stage.gate.execute(
            "select from public.user_credits where user_id = %s for update", (two.client.id,)
        )
    else:
        stage.gate.execute(
            "select session_approval.lock_calendars(%s)", ([two.therapist.id, two.client.id],)
        )

    def do_first_and_keep() -> None:
        try:
            do_first()
            stage.first.commit()
        finally:
            stage.first.rollback()

    first = stage.pool.submit(attempt, do_first_and_keep)
    stage.settled(stage.first, first)
    second = stage.pool.submit(attempt, do_second)
    stage.settled(stage.second, second)
    stage.gate.rollback()
    first.result(20)
    second.result(20)


def wrong(db: Connection, two: list[Two]) -> list[Row]:
    """Return everything about these people that cannot be."""
    return db.execute(
        """
        with ours as materialized (
          select s.* from public.sessions s
          where s.user_id = any (%(clients)s) and s.requires_approval
        )
        select 'overlap' as problem, a.id
        from ours a join ours b on b.id > a.id
          and b.user_id = a.user_id
          and (a.start_time, a.end_time) overlaps (b.start_time, b.end_time)
        where a.status in ('scheduled', 'confirmed', 'in_progress')
          and b.status in ('scheduled', 'confirmed', 'in_progress')

        union all
        select 'holds what it should not, or the reverse', s.id
        from ours s
        where (
          select count(*) from session_approval.bookings b
          where b.session_id = s.id and b.during = tstzrange(s.start_time, s.end_time)
        ) <> case
          when s.status in ('scheduled', 'confirmed', 'in_progress') then 2
          when s.status = 'pending_approval' and not s.is_instant then 2
          else 0
        end
        and not (s.status = 'pending_approval' and s.title = 'Unheld')

        union all
        select 'an impossible state', s.id
        from ours s
        where (s.approved_at is null) <> (s.credit_lot_id is null)
          or (s.status = 'pending_approval' and s.approved_at is not null)
          or (s.status not in ('pending_approval', 'cancelled') and s.approved_at is null)
          or (s.status = 'cancelled') <> (s.cancellation_reason is not null)
          or (s.cancellation_reason ~ '^cancelled_by' and s.approved_at is null)
          or (s.cancellation_reason in ('declined', 'withdrawn', 'expired')
            and s.approved_at is not null)

        union all
        select 'a history with a gap', s.id
        from ours s
        where s.status <> (
          select e.to_status from session_approval.session_events e
          where e.session_id = s.id order by e.id desc limit 1
        ) or exists (
          select from (
            select e.from_status, lag(e.to_status) over (order by e.id) as before
            from session_approval.session_events e where e.session_id = s.id
          ) e where e.from_status is distinct from e.before
        )

        union all
        select 'paid or refunded otherwise than it should be', s.id
        from ours s
        cross join lateral (
          select
            count(*) filter (where e.kind = 'approval') as paid,
            count(*) filter (where e.kind = 'refund') as refunded
          from session_approval.credit_ledger e where e.session_id = s.id
        ) e
        where e.paid <> (s.approved_at is not null)::integer
          or e.refunded > e.paid
          or (e.refunded = 1 and s.status not in ('cancelled', 'no_show', 'completed'))
          or (
            s.status = 'cancelled'
            and e.refunded <> e.paid
            and not (s.is_instant and s.cancellation_reason = 'cancelled_by_client')
          )
        """,
        {"clients": [pair.client.id for pair in two]},
    ).fetchall()


HOW = ["first is kept", "first is undone", "lots are held", "calendars are held"]


@pytest.mark.parametrize("second", ACTS)
@pytest.mark.parametrize("first", ACTS)
def test_any_two_acts_at_once_leave_valid_data(stage: Stage, first: str, second: str) -> None:
    db = stage.owner
    states = ACTS[first][0], ACTS[second][0]
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=3)
    done = []
    shared = [True, False] if all(states) else [True]
    for is_shared in shared:
        for how in HOW if is_shared else HOW[::2]:
            therapist, client = add_person(db, "therapist"), add_person(db, "individual")
            lots = [give_credits(db, client, 2) for _ in range(2)]
            two = Two(therapist, client, lots, start)
            if is_shared:
                session = stand(db, two, states[0] or states[1], start)
                sessions = [session, session]
                # A creator who comes first needs a time that is free.
                is_free = first not in CREATORS or states[1] not in HOLDING
                two.slot = session["start_time"] if is_free else start + HALF
            else:
                sessions = [
                    stand(db, two, state, start + n * HALF) for n, state in enumerate(states)
                ]
                two.slot = sessions[1 if "over" in second else 0]["start_time"]
            done.append(two)

            perform(stage, (first, second), sessions, two, how)

    assert wrong(db, done) == []
    assert call_as(db, "service_role", None, "reconcile_credits") == []
