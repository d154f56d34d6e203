"""32 threads propose random times: no person is booked twice, and no free time is refused.

Every refusal is checked afterwards. Each session that it names overlapped with the refused one, was
of one of its two people, and held its time at some moment while the request waited for its answer.
No suggested time was taken by a session that was there all the time. CALENDAR_TRIES and
CALENDAR_SEED choose another size.
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
# Out of a hundred attempts.
MIX = {"propose": 70, "approve": 12, "cancel": 9, "insert": 5, "insert and undo": 2, "finish": 2}


@dataclass(frozen=True)
class Attempt:
    """One thing that a person wants to do."""

    what: str
    therapist: Person
    client: Person
    start: datetime
    minutes: int
    luck: float  # chooses one of the sessions that exist by then

    @property
    def end(self) -> datetime:
        """The end of the time that is asked for."""
        return self.start + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Answer:
    """The answer to an attempt, and the moments of question and answer."""

    attempt: Attempt
    asked_at: datetime
    answered_at: datetime
    session_id: UUID | None = None
    code: str | None = None
    details: Any = None


@dataclass(frozen=True)
class Held:
    """A session, and the longest span in which it may have held its people's time."""

    id: UUID
    people: frozenset[UUID]
    therapist: UUID
    start: datetime
    end: datetime
    since: datetime
    until: datetime


@pytest.fixture
def owner(own_database: str) -> Iterator[Connection]:
    """A connection as the owner; its changes are committed."""
    with actors.connect(own_database) as db:
        yield db


def draw(therapists: list[Person], clients: list[Person]) -> list[Attempt]:
    """Draw all attempts."""
    chance = random.Random(SEED)  # noqa: S311
    kinds = list(MIX)
    return [
        Attempt(
            chance.choices(kinds, [MIX[kind] for kind in kinds])[0],
            chance.choice(therapists),
            chance.choice(clients),
            MONDAY + timedelta(days=chance.randrange(DAYS), minutes=5 * chance.randrange(10 * 12)),
            5 * chance.randint(3, 18),
            chance.random(),
        )
        for _ in range(TRIES)
    ]


def insert(db: Connection, attempt: Attempt) -> UUID:
    """Insert a session without a function of ours, as older code does."""
    [session] = db.execute(
        "insert into public.sessions (therapist_id, user_id, start_time, end_time)"
        " values (%s, %s, %s, %s) returning id",
        (attempt.therapist.id, attempt.client.id, attempt.start, attempt.end),
    ).fetchall()
    session_id: UUID = session["id"]
    return session_id


class Undone(Exception):
    """The attempt changed nothing."""


def act(db: Connection, attempt: Attempt, made: list[tuple[UUID, Attempt]]) -> UUID:
    """Make an attempt, and return the id of its session."""
    if attempt.what == "insert":
        return insert(db, attempt)
    if attempt.what == "insert and undo":
        with db.transaction():
            insert(db, attempt)
            raise Undone
    if attempt.what == "propose":
        [session] = call(
            db,
            attempt.therapist,
            "create_custom_session",
            p_patient_id=attempt.client.id,
            p_start_time=attempt.start,
            p_duration_minutes=attempt.minutes,
        )
        made.append((session["id"], attempt))
        return session["id"]  # type: ignore[no-any-return]
    if not made:
        raise Undone
    session_id, proposal = made[int(attempt.luck * len(made))]
    who = proposal.therapist if attempt.luck * 1000 % 2 > 1 else proposal.client
    if attempt.what == "approve":
        call(db, proposal.client, APPROVE, p_session_id=session_id)
    elif attempt.what == "cancel":
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


def storm(address: str, attempts: list[Attempt]) -> list[Answer]:
    """Make all attempts, in threads with a connection each."""
    made: list[tuple[UUID, Attempt]] = []
    shares = [attempts[number::THREADS] for number in range(THREADS)]

    def run(share: list[Attempt]) -> list[Answer]:
        answers = []
        with actors.connect(address) as db:
            db.execute("set lock_timeout = '30s'")
            for attempt in share:
                asked_at = datetime.now(UTC)
                session_id, code, details = None, None, None
                try:
                    session_id = act(db, attempt, made)
                except Undone:
                    pass
                except psycopg.Error as error:
                    code = error.diag.message_hint
                    if code not in KNOWN:
                        raise
                    details = json.loads(error.diag.message_detail or "null")
                answers.append(
                    Answer(attempt, asked_at, datetime.now(UTC), session_id, code, details)
                )
        return answers

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for share in pool.map(run, shares) for answer in share]


def history(db: Connection, answers: list[Answer]) -> list[Held]:
    """Return every session with the longest span in which it may have held its time.

    That is from the moment when it was asked for to the answer to the request that ended it.
    """
    asked: dict[UUID, datetime] = {}
    ended: dict[UUID, datetime] = {}
    for answer in answers:
        if answer.session_id is None:
            continue
        session_id = answer.session_id
        asked[session_id] = min(answer.asked_at, asked.get(session_id, answer.asked_at))
        if answer.attempt.what in ("cancel", "finish"):
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


def false_conflicts(refusal: Answer, sessions: list[Held]) -> list[Row]:
    """Return the conflicts in a refusal that did not exist."""
    attempt = refusal.attempt
    both = {attempt.therapist.id, attempt.client.id}
    in_the_way = [
        (held.start, held.end, str(held.id) if held.therapist == attempt.therapist.id else None)
        for held in sessions
        if held.people & both
        and held.start < attempt.end
        and held.end > attempt.start
        and held.since < refusal.answered_at
        and held.until > refusal.asked_at
    ]
    return [
        conflict
        for conflict in refusal.details["conflicting_sessions"]
        if (
            datetime.fromisoformat(conflict["start_time"]),
            datetime.fromisoformat(conflict["end_time"]),
            conflict.get("id"),
        )
        not in in_the_way
    ]


def test_32_threads_book_no_person_twice_and_are_refused_no_free_time(
    own_database: str, owner: Connection
) -> None:
    with ExitStack() as stack:
        stack.enter_context(owner.transaction())
        therapists = [add_person(owner, "therapist") for _ in range(20)]
        clients = [add_person(owner, "individual") for _ in range(100)]
        for client in clients:
            give_credits(owner, client, 20)

    answers = storm(own_database, draw(therapists, clients))

    # No person is booked twice.
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
    wrong_bookings = owner.execute(
        "select s.id from public.sessions s"
        " where (select count(*) from session_approval.bookings b"
        "  where b.session_id = s.id and b.during = tstzrange(s.start_time, s.end_time))"
        " <> case when s.requires_approval and s.status in ('pending_approval', 'scheduled')"
        " then 2 else 0 end"
    ).fetchall()
    assert wrong_bookings == []
    assert actors.call_as(owner, "service_role", None, "reconcile_credits") == []

    # Every refusal is true.
    tally = Counter((answer.attempt.what, answer.code) for answer in answers)
    assert len(answers) == TRIES
    assert tally["propose", None] >= TRIES / 10
    assert tally["propose", "TIME_SLOT_CONFLICT"] >= TRIES / 10
    assert all(tally[what, None] for what in ("approve", "cancel", "insert"))
    assert tally["insert", None] == sum(tally["insert", code] for code in (None, *KNOWN))
    sessions = history(owner, answers)
    refusals = [answer for answer in answers if answer.code == "TIME_SLOT_CONFLICT"]
    for refusal in refusals:
        assert refusal.details["conflicting_sessions"]
        assert false_conflicts(refusal, sessions) == []

    # No suggested time was taken by a session that was there all the time.
    for refusal in refusals:
        both = {refusal.attempt.therapist.id, refusal.attempt.client.id}
        made = {
            answer.session_id: answer.answered_at
            for answer in answers
            if answer.attempt.what in ("propose", "insert") and answer.session_id
        }
        lasting = [
            held
            for held in sessions
            if held.people & both
            and made.get(held.id, refusal.answered_at) < refusal.asked_at
            and held.until == datetime.max.replace(tzinfo=UTC)
        ]
        for suggestion in refusal.details["suggested_times"]:
            start = datetime.fromisoformat(suggestion["time"])
            end = start + timedelta(minutes=refusal.attempt.minutes)
            assert not [held for held in lasting if held.start < end and held.end > start]
