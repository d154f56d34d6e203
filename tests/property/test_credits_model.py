"""Postgres and a small model of credits and sessions do the same steps and must agree after each.

Time passes by moving every moment in the database back, by whole hours. The chosen moments lie on
half hours, and no session lasts until the next one, so that the seconds of a run decide nothing.
"""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests import actors
from tests.actors import Connection, Person, Row
from tests.servers import Server

RUNS = int(os.environ.get("MODEL_RUNS", "40"))
STEPS = int(os.environ.get("MODEL_STEPS", "40"))

HOUR = 1
MINUTES = 25  # every session of the model
GRACE = 30 * 24  # hours, as the settings are installed
PENDING_TTL = 72
FREE_CANCEL = 24
APPROVED = ("scheduled", "confirmed")


@dataclass
class Lot:
    """A lot in the model; times are hours on the model's clock."""

    balance: int
    expires: float | None
    born: int
    lives: bool = True


@dataclass
class Session:
    """A session in the model."""

    status: str
    instant: bool
    start: float
    answer_by: float
    how: str | None = None
    lot: UUID | None = None
    debits: int = 0
    refunds: int = 0

    @property
    def end(self) -> float:
        """The moment at which it is over."""
        return self.start + MINUTES / 60


@dataclass
class World:
    """One client, one therapist, and what they have in the model."""

    clock: float = 0
    lots: dict[UUID, Lot] = field(default_factory=dict)
    sessions: dict[UUID, Session] = field(default_factory=dict)
    grants: dict[str, int] = field(default_factory=dict)
    born: Iterator[int] = field(default_factory=itertools.count)

    def is_late(self, known_session: Session) -> bool:
        """Whether its time to answer has passed and no sweep has closed it yet."""
        return known_session.status == "pending_approval" and known_session.answer_by <= self.clock

    def expired(self, lot: Lot) -> bool:
        """Whether a lot no longer pays."""
        return lot.expires is not None and lot.expires <= self.clock

    def taken(self, start: float) -> bool:
        """Whether a session holds this time; two sessions overlap only if they start together."""
        return any(
            known_session.start == start
            and (
                known_session.status in (*APPROVED, "in_progress")
                or (
                    known_session.status == "pending_approval"
                    and not known_session.instant
                    and known_session.answer_by > self.clock
                )
            )
            for known_session in self.sessions.values()
        )

    def payer(self) -> UUID | None:
        """Return the lot that must pay next."""
        able = [
            (lot.expires is None, lot.expires or 0, lot.born, lot_id)
            for lot_id, lot in self.lots.items()
            if lot.lives and lot.balance >= 1 and not self.expired(lot)
        ]
        return min(able)[3] if able else None


class Credits(RuleBasedStateMachine):
    """Every act that moves a credit, in any order."""

    address: str
    lots = Bundle("lots")
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        """Start with a client who has no credits."""
        super().__init__()
        self.db: Connection = actors.connect(self.address)
        self.therapist = actors.add_person(self.db, "therapist")
        self.client = actors.add_person(self.db, "individual")
        self.world = World()

    def teardown(self) -> None:
        """Close the connection."""
        self.db.close()

    def answer(self, person: Person | None, function: str, **arguments: object) -> str | Row:
        """Call a function and return its only row, or the code that it refused with."""
        role = "service_role" if person is None else "authenticated"
        try:
            [row] = actors.call_as(self.db, role, person, function, **arguments)
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("PT"):
                raise
            return error.diag.message_hint or ""
        return row

    def interval(self, hours: float | None) -> str | None:
        """Return the moment so many hours on the model's clock, for Postgres to read."""
        if hours is None:
            return None
        row = self.db.execute(
            "select now() + %s * interval '1 hour' as at", (hours - self.world.clock,)
        ).fetchone()
        assert row is not None
        return str(row["at"])

    # What the application and operators do to lots.

    @initialize(
        target=lots,
        first=st.sampled_from([None, 5.5, 40.5]),
        second=st.sampled_from([None, 5.5, 40.5]),
    )
    def start_with_two_lots(self, first: float | None, second: float | None) -> object:
        return multiple(self.buy(2, first), self.buy(3, second))

    @rule(target=lots, amount=st.integers(0, 3), life=st.sampled_from([None, 0.5, 5.5, 40.5]))
    def buy(self, amount: int, life: float | None) -> UUID:
        expires = None if life is None else self.world.clock + life
        lot = actors.give_credits(self.db, self.client, amount, expires_at=self.interval(expires))
        self.world.lots[lot] = Lot(amount, expires, next(self.world.born))
        return lot

    @rule(
        target=lots,
        amount=st.integers(1, 3),
        life=st.sampled_from([None, 20.5]),
        reference=st.sampled_from("abcdef"),
    )
    def grant(self, amount: int, life: float | None, reference: str) -> object:
        expires = None if life is None else self.world.clock + life
        answer = self.answer(
            None,
            "grant_credits",
            p_user_id=self.client.id,
            p_amount=amount,
            p_source=f"model {self.client.id}",
            p_reference=reference,
            p_expires_at=self.interval(expires),
        )
        known = self.world.grants.get(reference)
        if known is not None and known != amount:
            assert answer == "IDEMPOTENCY_CONFLICT"
            return multiple()
        assert isinstance(answer, dict)
        assert answer["already_granted"] is (known is not None)
        if known is not None:
            return multiple()
        self.world.grants[reference] = amount
        self.world.lots[answer["lot_id"]] = Lot(amount, expires, next(self.world.born))
        return answer["lot_id"]

    @rule(lot=lots, delta=st.integers(-3, 3))
    def adjust(self, lot: UUID, delta: int) -> None:
        answer = self.answer(
            None,
            "adjust_credits",
            p_lot_id=lot,
            p_delta=delta,
            p_reason="model",
            p_actor_id=self.therapist.id,
        )
        known_session = self.world.lots[lot]
        if delta == 0:
            assert answer == "VALIDATION_ERROR"
        elif not known_session.lives:
            assert answer == "LOT_NOT_FOUND"
        elif known_session.balance + delta < 0:
            assert answer == "CREDITS_BELOW_ZERO"
        else:
            known_session.balance += delta
            assert isinstance(answer, dict)
            assert answer["credits_balance"] == known_session.balance

    @rule(lot=lots, balance=st.integers(0, 4))
    def update_as_the_application_does(self, lot: UUID, balance: int) -> None:
        self.db.execute(
            "update public.user_credits set credits_balance = %s where id = %s", (balance, lot)
        )
        if self.world.lots[lot].lives:
            self.world.lots[lot].balance = balance

    @rule(lot=lots)
    def delete_a_lot(self, lot: UUID) -> None:
        self.db.execute("delete from public.user_credits where id = %s", (lot,))
        self.world.lots[lot].lives = False

    # What the two people do to sessions.

    @rule(target=sessions, instant=st.booleans(), ahead=st.integers(1, 100))
    def propose(self, instant: bool, ahead: int) -> UUID | MultipleResults[UUID]:
        start = self.world.clock if instant else self.world.clock + ahead + 0.5
        time = {"p_is_instant": True} if instant else {"p_start_time": self.interval(start)}
        row = self.answer(
            self.therapist,
            "create_custom_session",
            p_patient_id=self.client.id,
            p_duration_minutes=MINUTES,
            **time,
        )
        if not instant and self.world.taken(start):
            assert row == "TIME_SLOT_CONFLICT"
            return multiple()
        assert isinstance(row, dict), row
        answer_by = (
            self.world.clock + 0.25 if instant else min(start, self.world.clock + PENDING_TTL)
        )
        self.world.sessions[row["id"]] = Session("pending_approval", instant, start, answer_by)
        session_id: UUID = row["id"]
        return session_id

    @rule(target=sessions, instant=st.booleans(), ahead=st.integers(1, 100))
    def propose_and_approve(self, instant: bool, ahead: int) -> UUID | MultipleResults[UUID]:
        session = self.propose(instant, ahead)
        if isinstance(session, UUID):
            self.approve(session)
        return session

    @rule(session=sessions)
    def approve(self, session: UUID) -> None:
        answer = self.answer(self.client, "approve_session_and_deduct_credit", p_session_id=session)
        known_session = self.world.sessions[session]
        if known_session.status in (*APPROVED, "no_show"):
            assert isinstance(answer, dict)
            assert answer["beside"]["already_approved"] is True
            return
        if expected := self.not_pending(known_session):
            assert answer == expected
            return
        if known_session.instant and self.world.taken(self.world.clock):
            assert answer == "TIME_SLOT_CONFLICT"
            return
        payer = self.world.payer()
        if payer is None:
            assert answer == "INSUFFICIENT_CREDITS"
            return
        assert isinstance(answer, dict), answer
        self.world.lots[payer].balance -= 1
        known_session.lot, known_session.debits = payer, known_session.debits + 1
        known_session.status = "confirmed" if known_session.instant else "scheduled"
        if known_session.instant:
            known_session.start = self.world.clock

    @rule(session=sessions)
    def decline(self, session: UUID) -> None:
        answer = self.answer(self.client, "decline_session", p_session_id=session)
        self.end(self.world.sessions[session], answer, "declined")

    @rule(session=sessions, by_client=st.booleans())
    def cancel(self, session: UUID, by_client: bool) -> None:
        person = self.client if by_client else self.therapist
        preview = self.answer(person, "preview_cancellation", p_session_id=session)
        answer = self.answer(person, "cancel_session", p_session_id=session)
        known_session = self.world.sessions[session]
        how = "cancelled_by_client" if by_client else "cancelled_by_therapist"
        if (
            known_session.how in ("declined", "withdrawn", "expired")
            or known_session.status == "pending_approval"
        ):
            self.end(known_session, answer, "declined" if by_client else "withdrawn")
        elif known_session.status in APPROVED and known_session.end > self.world.clock:
            free = not by_client or self.world.clock <= known_session.start - FREE_CANCEL
            assert isinstance(answer, dict), answer
            assert isinstance(preview, dict)
            assert (answer["beside"]["refunded"], preview["refundable"]) == (free, free)
            known_session.status, known_session.how = "cancelled", how
            if free:
                self.refund(known_session)
        elif known_session.how == how:
            assert isinstance(answer, dict), answer
            assert answer["beside"]["refunded"] is (known_session.refunds == 1)
        else:
            assert answer == "SESSION_NOT_CANCELLABLE"

    @rule(
        target=sessions,
        ahead=st.sampled_from([25, 30, 60]),
        hours=st.sampled_from([1, 3, 7, 25]),
        by_client=st.booleans(),
    )
    def approve_wait_and_cancel(
        self, ahead: int, hours: int, by_client: bool
    ) -> UUID | MultipleResults[UUID]:
        session = self.propose_and_approve(False, ahead)
        self.wait(hours)
        if isinstance(session, UUID):
            self.cancel(session, by_client)
        return session

    def not_pending(self, known_session: Session) -> str | None:
        """Return the code that answering a session is refused with, None while it waits."""
        if known_session.how == "expired" or self.world.is_late(known_session):
            return "SESSION_EXPIRED"
        return None if known_session.status == "pending_approval" else "SESSION_NOT_PENDING"

    def end(self, known_session: Session, answer: str | Row, how: str) -> None:
        """Apply a decline or a withdrawal to the model."""
        expected = self.not_pending(known_session)
        if expected is None:
            assert isinstance(answer, dict), answer
            known_session.status, known_session.how = "cancelled", how
        elif known_session.how == how:
            assert isinstance(answer, dict), answer
        else:
            assert answer == expected

    def refund(self, known_session: Session) -> None:
        """Apply a refund to the model: to the very lot, or to a new one where it is gone."""
        assert known_session.lot is not None
        known_session.refunds += 1
        lot = self.world.lots[known_session.lot]
        if not lot.lives:
            rows = self.db.execute(
                "select id from public.user_credits where user_id = %s", (self.client.id,)
            )
            # A sweep may have made several at one moment; they pay in the order of their ids.
            new = min(row["id"] for row in rows if row["id"] not in self.world.lots)
            grace = self.world.clock + GRACE
            self.world.lots[new] = Lot(1, grace, next(self.world.born))
        elif self.world.expired(lot):
            lot.balance, lot.expires = 1, self.world.clock + GRACE
        else:
            lot.balance += 1

    # What time does.

    @rule(hours=st.sampled_from([1, 3, 7, 25, 50, 721]))
    def wait(self, hours: int) -> None:
        self.world.clock += hours * HOUR
        back = f"interval '{hours} hours'"
        moved = {
            "public.user_credits": ["expires_at"],
            # Not approved_at: reconciling compares it with the ledger, whose moments never change.
            "public.sessions": ["start_time", "end_time", "approval_expires_at", "cancelled_at"],
        }
        with self.db.transaction():
            for table, columns in moved.items():
                changes = ", ".join(f"{column} = {column} - {back}" for column in columns)
                self.db.execute(
                    f"update {table} set {changes} where user_id = %s", (self.client.id,)
                )

    @rule()
    def sweep(self) -> None:
        actors.call_as(self.db, "service_role", None, "sweep_sessions")
        for session in self.world.sessions.values():
            if self.world.is_late(session):
                session.status, session.how = "cancelled", "expired"
            elif session.status in APPROVED and session.end + 0.25 <= self.world.clock:
                session.status = "no_show"
                self.refund(session)  # nobody joined: settings.refund_unattended
        for lot in self.world.lots.values():
            if lot.lives and self.world.expired(lot):
                lot.balance = 0

    # What must hold after every step.

    @invariant()
    def lots_have_the_balances_of_the_model_and_the_ledger_sums_to_them(self) -> None:
        rows = self.db.execute(
            "select l.id, l.credits_balance, (select sum(e.delta) from"
            " session_approval.credit_ledger e where e.lot_id = l.id) as ledger"
            " from public.user_credits l where l.user_id = %s",
            (self.client.id,),
        ).fetchall()
        lots = {row["id"]: (row["credits_balance"], row["ledger"]) for row in rows}
        assert lots == {
            lot_id: (lot.balance, lot.balance)
            for lot_id, lot in self.world.lots.items()
            if lot.lives
        }

    @invariant()
    def sessions_have_the_statuses_and_the_payments_of_the_model(self) -> None:
        rows = self.db.execute(
            "select s.id, s.status, d.status as reads, s.credit_lot_id,"
            " (select count(*) from session_approval.credit_ledger e"
            "   where e.session_id = s.id and e.kind = 'approval') as debits,"
            " (select count(*) from session_approval.credit_ledger e"
            "   where e.session_id = s.id and e.kind = 'refund') as refunds"
            " from public.sessions s join session_approval.session_details d on d.id = s.id"
            " where s.user_id = %s",
            (self.client.id,),
        ).fetchall()
        # A proposal for the same time may close a late session before the sweep does.
        late = {
            id
            for id, known_session in self.world.sessions.items()
            if self.world.is_late(known_session)
        }
        stored = {
            r["id"]: (
                r["reads" if r["id"] in late else "status"],
                *(r["credit_lot_id"], r["debits"], r["refunds"]),
            )
            for r in rows
        }
        assert stored == {
            session_id: (
                "cancelled" if session_id in late else known_session.status,
                *(known_session.lot, known_session.debits, known_session.refunds),
            )
            for session_id, known_session in self.world.sessions.items()
        }

    @invariant()
    def everything_reconciles(self) -> None:
        assert [
            row
            for row in self.db.execute("select * from public.reconcile_credits()")
            if row["user_id"] in (self.client.id, None)
        ] == []


@pytest.fixture(scope="module")
def address(server: Server) -> Iterator[str]:
    """The address of a database for the model alone."""
    with server.database("test_credits_model") as address:
        yield address


def test_postgres_agrees_with_a_small_model_of_credits_after_every_step(address: str) -> None:
    Credits.address = address
    run_state_machine_as_test(
        Credits,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="MODEL_RUNS" not in os.environ,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
