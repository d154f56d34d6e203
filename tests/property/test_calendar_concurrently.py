"""Thirty-two threads propose random times: nobody is booked twice, no free time is refused.

Every refusal is checked afterwards: what it names was there, in the way, and of one of the two
people, at some moment while the refused one waited for its answer; and the times that it suggests
were not taken by anything that was there all along. CALENDAR_TRIES and CALENDAR_SEED choose another
size.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import actors
from tests.actors import Connection, Person, Row, add_person, call, give_credits

TRIES = int(os.environ.get("CALENDAR_TRIES", "600"))
SEED = int(os.environ.get("CALENDAR_SEED", "1"))
THREADS = 32
DAYS = 1 + TRIES // 1500
MONDAY = datetime(2030, 1, 7, 8, tzinfo=UTC)
APPROVE = "approve_session_and_deduct_credit"
# Out of a hundred tries.
MIX = {"propose": 70, "approve": 12, "cancel": 9, "insert": 5, "insert and undo": 2, "finish": 2}


@dataclass(frozen=True)
class Try:
    """What somebody wants."""

    what: str
    therapist: Person
    client: Person
    start: datetime
    minutes: int
    luck: float  # which of the sessions that are there by then

    @property
    def end(self) -> datetime:
        """When it ends."""
        return self.start + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Answer:
    """What came of it, and between which moments."""

    wanted: Try
    asked_at: datetime
    answered_at: datetime
    session_id: UUID | None = None
    code: str | None = None
    details: Any = None


@dataclass(frozen=True)
class Held:
    """A session that held its people's time between two moments, as wide as they can have been."""

    id: UUID
    people: frozenset[UUID]
    therapist: UUID
    start: datetime
    end: datetime
    since: datetime
    until: datetime


@pytest.fixture
def owner(own_database: str) -> Iterator[Connection]:
    """A connection as the owner, whose changes stay."""
    with actors.connect(own_database) as db:
        yield db


def drawn(therapists: list[Person], clients: list[Person]) -> list[Try]:
    """Draw everything that will be tried."""
    chance = random.Random(SEED)  # noqa: S311
    kinds = list(MIX)
    return [
        Try(
            chance.choices(kinds, [MIX[kind] for kind in kinds])[0],
            chance.choice(therapists),
            chance.choice(clients),
            MONDAY + timedelta(days=chance.randrange(DAYS), minutes=5 * chance.randrange(10 * 12)),
            5 * chance.randint(3, 18),
            chance.random(),
        )
        for _ in range(TRIES)
    ]


def insert(db: Connection, wanted: Try) -> UUID:
    """Insert a session as older code does."""
    [session] = db.execute(
        "insert into public.sessions (therapist_id, user_id, start_time, end_time)"
        " values (%s, %s, %s, %s) returning id",
        (wanted.therapist.id, wanted.client.id, wanted.start, wanted.end),
    ).fetchall()
    session_id: UUID = session["id"]
    return session_id


class Undone(Exception):
    """Nothing was done after all."""


def act(db: Connection, wanted: Try, made: list[tuple[UUID, Try]]) -> UUID:
    """Do what is wanted; the session that it was about."""
    if wanted.what == "insert":
        return insert(db, wanted)
    if wanted.what == "insert and undo":
        with db.transaction():
            insert(db, wanted)
            raise Undone
    if wanted.what == "propose":
        [session] = call(
            db,
            wanted.therapist,
            "create_custom_session",
            p_patient_id=wanted.client.id,
            p_start_time=wanted.start,
            p_duration_minutes=wanted.minutes,
        )
        made.append((session["id"], wanted))
        return session["id"]  # type: ignore[no-any-return]
    if not made:
        raise Undone
    session_id, proposal = made[int(wanted.luck * len(made))]
    who = proposal.therapist if wanted.luck * 1000 % 2 > 1 else proposal.client
    if wanted.what == "approve":
        call(db, proposal.client, APPROVE, p_session_id=session_id)
    elif wanted.what == "cancel":
        call(db, who, "cancel_session", p_session_id=session_id)
    else:
        call(db, proposal.therapist, "finish_session", p_session_id=session_id)
    return session_id


KNOWN = {
    "TIME_SLOT_CONFLICT",
    "SESSION_NOT_PENDING",
    "SESSION_NOT_CANCELLABLE",
    "SESSION_NOT_FINISHABLE",
    "INSUFFICIENT_CREDITS",
}


def storm(address: str, tries: list[Try]) -> list[Answer]:
    """Try everything, by as many threads as there are connections."""
    made: list[tuple[UUID, Try]] = []
    shares = [tries[number::THREADS] for number in range(THREADS)]

    def run(share: list[Try]) -> list[Answer]:
        answers = []
        with actors.connect(address) as db:
            db.execute("set lock_timeout = '30s'")
            for wanted in share:
                asked_at = datetime.now(UTC)
                session_id, code, details = None, None, None
                try:
                    session_id = act(db, wanted, made)
                except Undone:
                    pass
                except psycopg.Error as error:
                    code = error.diag.message_hint
                    if code not in KNOWN:
                        raise
                    details = json.loads(error.diag.message_detail or "null")
                answers.append(
                    Answer(wanted, asked_at, datetime.now(UTC), session_id, code, details)
                )
        return answers

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for share in pool.map(run, shares) for answer in share]


def history(db: Connection, answers: list[Answer]) -> list[Held]:
    """Return every session with the widest span during which it may have held its time.

    It may have from when somebody asked for it until whoever ended it had their answer.
    """
    asked: dict[UUID, datetime] = {}
    ended: dict[UUID, datetime] = {}
    for answer in answers:
        if answer.session_id is None:
            continue
        session_id = answer.session_id
        asked[session_id] = min(answer.asked_at, asked.get(session_id, answer.asked_at))
        if answer.wanted.what in ("cancel", "finish"):
            ended[session_id] = max(answer.answered_at, ended.get(session_id, answer.answered_at))
    return [
        Held(
            session["id"],
            frozenset((session["therapist_id"], session["user_id"])),
            session["therapist_id"],
            session["start_time"],
            session["end_time"],
            asked[session["id"]],
            ended.get(session["id"], datetime.max.replace(tzinfo=UTC)),
        )
        for session in db.execute("select * from public.sessions").fetchall()
    ]


def untrue(refused: Answer, sessions: list[Held]) -> list[Row]:
    """Return what a refusal names although it was not in the way."""
    wanted = refused.wanted
    both = {wanted.therapist.id, wanted.client.id}
    in_the_way = [
        (held.start, held.end, str(held.id) if held.therapist == wanted.therapist.id else None)
        for held in sessions
        if held.people & both
        and held.start < wanted.end
        and held.end > wanted.start
        and held.since < refused.answered_at
        and held.until > refused.asked_at
    ]
    return [
        conflict
        for conflict in refused.details["conflicting_sessions"]
        if (
            datetime.fromisoformat(conflict["start_time"]),
            datetime.fromisoformat(conflict["end_time"]),
            conflict.get("id"),
        )
        not in in_the_way
    ]


def test_thirty_two_threads_book_nobody_twice_and_are_refused_only_what_is_taken(
    own_database: str, owner: Connection
) -> None:
    with ExitStack() as stack:
        stack.enter_context(owner.transaction())
        therapists = [add_person(owner, "therapist") for _ in range(20)]
        clients = [add_person(owner, "individual") for _ in range(100)]
        for client in clients:
            give_credits(owner, client, 20)

    answers = storm(own_database, drawn(therapists, clients))

    # Nobody is booked twice.
    overlaps = owner.execute(
        "select person.id, a.id, b.id from public.sessions a"
        " cross join lateral (values (a.therapist_id), (a.user_id)) person (id)"
        " join public.sessions b on b.id > a.id and person.id in (b.therapist_id, b.user_id)"
        " and (a.start_time, a.end_time) overlaps (b.start_time, b.end_time)"
        " where a.requires_approval and b.requires_approval"
        " and a.status in ('pending_approval', 'scheduled') "
        " and b.status in ('pending_approval', 'scheduled')"
    ).fetchall()
    assert overlaps == []
    misheld = owner.execute(
        "select s.id from public.sessions s"
        " where (select count(*) from session_approval.bookings b"
        "  where b.session_id = s.id and b.during = tstzrange(s.start_time, s.end_time))"
        " <> case when s.requires_approval and s.status in ('pending_approval', 'scheduled')"
        " then 2 else 0 end"
    ).fetchall()
    assert misheld == []
    assert actors.call_as(owner, "service_role", None, "reconcile_credits") == []

    # Every refusal is true.
    tally = Counter((answer.wanted.what, answer.code) for answer in answers)
    assert len(answers) == TRIES
    assert tally["propose", None] >= TRIES / 10
    assert tally["propose", "TIME_SLOT_CONFLICT"] >= TRIES / 10
    assert all(tally[what, None] for what in ("approve", "cancel", "insert"))
    assert tally["insert", None] == sum(tally["insert", code] for code in (None, *KNOWN))
    sessions = history(owner, answers)
    refusals = [answer for answer in answers if answer.code == "TIME_SLOT_CONFLICT"]
    for refused in refusals:
        assert refused.details["conflicting_sessions"]
        assert untrue(refused, sessions) == []

    # What it suggests was free of everything that was there before and after.
    for refused in refusals:
        both = {refused.wanted.therapist.id, refused.wanted.client.id}
        made = {
            answer.session_id: answer.answered_at
            for answer in answers
            if answer.wanted.what in ("propose", "insert") and answer.session_id
        }
        there = [
            held
            for held in sessions
            if held.people & both
            and made.get(held.id, refused.answered_at) < refused.asked_at
            and held.until == datetime.max.replace(tzinfo=UTC)
        ]
        for suggestion in refused.details["suggested_times"]:
            start = datetime.fromisoformat(suggestion["time"])
            end = start + timedelta(minutes=refused.wanted.minutes)
            assert not [held for held in there if held.start < end and held.end > start]
