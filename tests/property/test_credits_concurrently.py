"""200 clients act at once, some repeat requests or hang up: no credit is lost or made.

All requests are drawn beforehand, from one seed; which of them meet depends on the machine. While
they run, a reader finds in every snapshot that the ledger sums to the balances. At the end every
answer must be true, and a request without an answer must be done as a whole or not at all.
STORM_OPERATIONS and STORM_SEED choose another size and seed.
"""

import json
import os
import random
import select
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests import actors
from tests.actors import Connection, Person, Row

OPERATIONS = int(os.environ.get("STORM_OPERATIONS", "1000"))
SEED = int(os.environ.get("STORM_SEED", "1"))
CLIENTS = 200
CONNECTIONS = 16
LASTS = OPERATIONS / 250  # seconds, about; the moments of expiry are spread over them

APPROVE = "approve_session_and_deduct_credit"
# Out of a hundred requests. The last two are writes of the application, without our functions.
MIX = {
    "approve": 45,
    "cancel": 12,
    "withdraw": 8,
    "decline": 6,
    "grant": 10,
    "adjust": 7,
    "sweep": 4,
    "update": 7,
    "delete": 1,
}
# The refusals that a request may get here. Any other error, such as a deadlock, is a defect.
DOCUMENTED = {
    APPROVE: {
        *("INSUFFICIENT_CREDITS", "SESSION_NOT_PENDING", "SESSION_EXPIRED"),
        "TIME_SLOT_CONFLICT",  # two instant sessions approved at the same time
    },
    "decline_session": {"SESSION_NOT_PENDING", "SESSION_EXPIRED"},
    "cancel_session": {"SESSION_NOT_CANCELLABLE", "SESSION_NOT_PENDING", "SESSION_EXPIRED"},
    "grant_credits": {"IDEMPOTENCY_CONFLICT"},
    "adjust_credits": {"CREDITS_BELOW_ZERO", "LOT_NOT_FOUND"},
}
REPEATABLE = {APPROVE, "decline_session", "cancel_session", "grant_credits", "sweep_sessions"}
# Two answers about one approval may differ in this.
OF_THE_MOMENT = {"beside"}


@dataclass(frozen=True)
class Request:
    """A statement to send, and whether its sender waits for the answer."""

    name: str  # the function's, or update, or delete
    text: str  # from begin to commit, so that the server runs it to its end without the sender
    arguments: dict[str, Any]
    hangs_up: str | None = None  # how: close, cancel or terminate
    patience: float = 0  # seconds until they hang up


@dataclass(frozen=True)
class Outcome:
    """A request and its answer: a row or a refusal's code; neither where the sender hung up."""

    request: Request
    row: Row | None = None
    refusal: str | None = None
    is_known: bool = True


@dataclass
class Town:
    """The people with their lots and sessions, before the first request."""

    therapists: list[Person] = field(default_factory=list)
    clients: list[Person] = field(default_factory=list)
    lots: list[UUID] = field(default_factory=list)
    sessions: list[tuple[UUID, Person, Person]] = field(default_factory=list)  # client, therapist


def settle(db: Connection, chance: random.Random) -> Town:
    """Make the people, their lots and the sessions that wait for them."""
    town = Town(
        [actors.add_person(db, "therapist") for _ in range(10)],
        [actors.add_person(db, "individual") for _ in range(CLIENTS)],
    )

    def soon() -> str:
        return f"{chance.uniform(0, LASTS)} seconds"

    for client in town.clients:
        for _ in range(chance.choice([1, 2, 2, 3])):
            [lot] = db.execute(
                "insert into public.user_credits (user_id, credits_balance, expires_at)"
                " values (%s, %s, now() + %s::interval) returning id",
                (
                    client.id,
                    chance.choice([0, 1, 1, 2]),
                    chance.choice([None, None, soon(), "20 days", "30 days"]),
                ),
            ).fetchall()
            town.lots.append(lot["id"])
    for number in range(OPERATIONS // 3):
        client, therapist = chance.choice(town.clients), chance.choice(town.therapists)
        # Within a day of its start a client's cancellation refunds nothing.
        [session] = db.execute(
            "insert into public.sessions (user_id, therapist_id, created_by, status, title,"
            " requires_approval, is_instant, start_time, end_time, duration_minutes, time_zone,"
            " approval_expires_at) select %(client)s, %(therapist)s, %(therapist)s,"
            " 'pending_approval', 'Storm', true, %(instant)s, at, at + interval '15 seconds', 30,"
            " 'UTC', now() + %(life)s::interval"
            " from (select now() + %(start)s::interval + %(number)s * interval '15 seconds' as at)"
            " start returning id",
            {
                "client": client.id,
                "therapist": therapist.id,
                "instant": chance.random() < 0.2,
                "start": chance.choice(["2 hours", "9 days", "10 days"]),
                "number": number,
                "life": chance.choice([*["1 hour"] * 9, soon()]),
            },
        ).fetchall()
        town.sessions.append((session["id"], client, therapist))
    return town


def draw(town: Town, chance: random.Random) -> list[Request]:
    """Draw all requests; requests that follow one another are about the same few sessions."""
    requests: list[Request] = []
    while len(requests) < OPERATIONS:
        [kind] = chance.choices(list(MIX), list(MIX.values()))
        here = len(town.sessions) * len(requests) // OPERATIONS
        if kind in ("cancel", "withdraw"):
            here -= 8  # mostly after the approval
        near = town.sessions[max(0, here - 8) : max(8, here + 8)]
        request = draw_one(kind, town, near, chance, len(requests))
        if chance.random() < 0.2:
            how = chance.choice(["close", "cancel", "terminate"])
            request = replace(request, hangs_up=how, patience=chance.uniform(0, 0.006))
        twice = chance.random() < 0.15 and kind != "adjust"
        requests += [request] * (2 if twice else 1)
    return requests[:OPERATIONS]


def draw_one(
    kind: str,
    town: Town,
    near: list[tuple[UUID, Person, Person]],
    chance: random.Random,
    number: int,
) -> Request:
    """Draw one request of a kind."""
    session, client, therapist = chance.choice(near)
    match kind:
        case "approve":
            return function_call("authenticated", client, APPROVE, p_session_id=session)
        case "decline":
            return function_call("authenticated", client, "decline_session", p_session_id=session)
        case "cancel":
            return function_call("authenticated", client, "cancel_session", p_session_id=session)
        case "withdraw":
            return function_call("authenticated", therapist, "cancel_session", p_session_id=session)
        case "grant":
            payment = chance.randrange(OPERATIONS // 15 + 1)
            return function_call(
                "service_role",
                None,
                "grant_credits",
                p_user_id=town.clients[payment % CLIENTS].id,
                p_amount=payment % 3 + 1 + (chance.random() < 0.1),  # now and then another one
                p_source="storm",
                p_reference=f"payment {payment}",
            )
        case "adjust":
            return function_call(
                "service_role",
                None,
                "adjust_credits",
                p_lot_id=chance.choice(town.lots),
                p_delta=chance.choice([-2, -1, 1]),
                p_reason=f"correction {number}",
                p_actor_id=therapist.id,
            )
        case "sweep":
            return function_call("service_role", None, "sweep_sessions")
    lot, delta = chance.choice(town.lots), chance.choice([-1, 1])
    change = {
        "delete": "delete from public.user_credits",
        "update": "update public.user_credits"
        f" set credits_balance = greatest(credits_balance + {delta}, 0)",
    }[kind]
    return Request(kind, f"begin; {change} where id = '{lot}' returning id; commit", {"lot": lot})


def function_call(role: str, person: Person | None, function: str, **arguments: Any) -> Request:
    """Return a request that calls one of our functions with a token."""
    claims = {"role": role} if person is None else {"role": role, "sub": str(person.id)}
    text = sql.SQL(
        "begin; set local role {role}; select set_config('request.jwt.claims', {claims}, true);"
        " select * from public.{function}({arguments}); commit"
    ).format(
        role=sql.Identifier(role),
        claims=sql.Literal(json.dumps(claims)),
        function=sql.Identifier(function),
        arguments=sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in arguments.items()
        ),
    )
    return Request(function, text.as_string(), arguments)


class Caller:
    """One of the connections; it is opened again after a request that hangs up."""

    def __init__(self, address: str, operator: Connection) -> None:
        """Name the database, and a connection that can end others."""
        self.address = address
        self.operator = operator
        self.db = actors.connect(address)

    def perform(self, request: Request) -> Iterator[Outcome]:
        """Make a request; repeat one that hung up, where repeating is safe."""
        if request.hangs_up:
            self._give_up(request)
            yield Outcome(request, is_known=False)
            if request.name not in REPEATABLE:
                return
        yield self._wait_for(request)

    def _wait_for(self, request: Request) -> Outcome:
        try:
            cursor = self.db.execute(request.text)
        except psycopg.Error as error:
            self.db.execute("rollback")
            code = error.diag.message_hint
            if code not in DOCUMENTED.get(request.name, ()):
                raise
            return Outcome(request, refusal=code)
        answers = [each.fetchall() if each.description else [] for each in cursor.results()]
        *_, answer, _commit = answers
        return Outcome(request, row=answer[0] if answer else None)

    def _give_up(self, request: Request) -> None:
        self.db.pgconn.send_query(request.text.encode())
        select.select([self.db.fileno()], [], [], request.patience)
        if request.hangs_up == "cancel":
            self.db.pgconn.get_cancel().cancel()
        elif request.hangs_up == "terminate":
            self.operator.execute("select pg_terminate_backend(%s)", (self.db.info.backend_pid,))
        self.db.close()
        self.db = actors.connect(self.address)


def storm(address: str, requests: list[Request]) -> tuple[list[Outcome], int]:
    """Make all requests over the connections; return how often a reader looked meanwhile, too."""
    waiting: SimpleQueue[Request] = SimpleQueue()
    for request in requests:
        waiting.put(request)
    over = Event()

    def work(operator: Connection) -> list[Outcome]:
        outcomes: list[Outcome] = []
        caller = Caller(address, operator)
        try:
            while not over.is_set():
                outcomes += caller.perform(waiting.get_nowait())
        except Empty:
            return outcomes
        except BaseException:
            over.set()
            raise
        finally:
            caller.db.close()
        return outcomes

    def read() -> int:
        looks = 0
        with actors.connect(address) as db:
            while not over.is_set():
                assert disagreements(db) == []
                looks += 1
        return looks

    with actors.connect(address) as operator, ThreadPoolExecutor(CONNECTIONS + 1) as pool:
        reader = pool.submit(read)
        workers = [pool.submit(work, operator) for _ in range(CONNECTIONS)]
        try:
            outcomes = [outcome for worker in workers for outcome in worker.result()]
        finally:
            over.set()
        looks = reader.result()
        wait_for_abandoned_requests(operator)
    return outcomes, looks


def disagreements(db: Connection) -> list[Row]:
    """Return every lot whose entries do not sum to its balance, and what reconciling finds."""
    wrong_lots = db.execute(
        "select coalesce(l.id, e.lot_id) as id, l.credits_balance, e.credits"
        " from public.user_credits l full join ("
        "   select lot_id, sum(delta) as credits from session_approval.credit_ledger"
        "   group by lot_id) e on e.lot_id = l.id"
        " where coalesce(l.credits_balance, 0) <> coalesce(e.credits, 0) or l.credits_balance < 0"
    ).fetchall()
    return wrong_lots + db.execute("select * from public.reconcile_credits()").fetchall()


def wait_for_abandoned_requests(db: Connection) -> None:
    """Return once the server has ended every request that hung up."""
    for _ in range(10_000):
        [left] = db.execute(
            "select count(*) as n from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid() and backend_type = 'client backend'"
        ).fetchall()
        if left["n"] == 0:
            return
    raise AssertionError("a request that hung up does not end")


class Books:
    """The final state of the database, with which every answer is compared."""

    def __init__(self, db: Connection) -> None:
        """Read everything once."""
        self.sessions = {
            row["id"]: row
            for row in db.execute(
                "select s.id, s.status, s.approved_at, s.credit_lot_id, e.*, p.* from"
                " public.sessions s cross join lateral (select"
                "   count(*) filter (where kind = 'approval') as debits,"
                "   count(*) filter (where kind = 'refund') as refunds"
                "   from session_approval.credit_ledger where session_id = s.id) e"
                " cross join lateral (select count(*) filter (where from_status ="
                "   'pending_approval' and to_status in ('scheduled', 'confirmed')) as approvals,"
                "   count(*) filter (where to_status = 'cancelled') as cancellations"
                "   from session_approval.session_events where session_id = s.id) p"
            )
        }
        entries = db.execute("select * from session_approval.credit_ledger").fetchall()
        self.grants = Counter(e["reference"] for e in entries if e["kind"] == "grant")
        self.corrections = Counter(e["reason"] for e in entries if e["source"] == "adjust_credits")
        self.answers: dict[object, list[Row]] = defaultdict(list)

    def incomplete_sessions(self) -> list[Row]:
        """Return every session whose approval, cancellation or refund is incomplete."""
        return [
            s
            for s in self.sessions.values()
            if not (
                s["debits"]
                == s["approvals"]
                == (s["approved_at"] is not None)
                == (s["credit_lot_id"] is not None)
            )
            or s["cancellations"] != (s["status"] == "cancelled")
            or s["refunds"] > s["debits"]
            or (s["refunds"] == 1 and s["status"] != "cancelled")
        ]

    def check(self, outcome: Outcome) -> None:
        """Compare one answer with the final state; a request that hung up has no answer."""
        arguments, row = outcome.request.arguments, outcome.row
        session = self.sessions.get(arguments.get("p_session_id"), {})
        match outcome.request.name:
            case "grant_credits":
                assert self.grants[arguments["p_reference"]] == 1 or not outcome.is_known
                if row is not None:
                    same = {"lot": row["lot_id"], "credits": row["credits_granted"]}
                    self.answers[arguments["p_reference"]].append(same)
            case "adjust_credits":
                times = self.corrections[arguments["p_reason"]]
                assert times == (row is not None) if outcome.is_known else times <= 1
            case "approve_session_and_deduct_credit" if row is not None:
                assert (session["debits"], session["approved_at"]) == (1, row["approved_at"])
                same = {name: row[name] for name in row.keys() - OF_THE_MOMENT}
                self.answers[row["id"]].append(same)
            case "cancel_session" | "decline_session" if row is not None:
                assert (session["status"], session["refunds"]) == (
                    "cancelled",
                    row["beside"]["refunded"],
                )

    def summary(self, outcomes: list[Outcome], looks: int) -> str:
        """Say in one line what happened."""
        counts = Counter(o.refusal or ("answered" if o.is_known else "hung up") for o in outcomes)
        parts = ", ".join(f"{count} {what}" for what, count in counts.most_common())
        approved = sum(s["debits"] for s in self.sessions.values())
        refunded = sum(s["refunds"] for s in self.sessions.values())
        return (
            f"seed {SEED}: {len(outcomes)} requests ({parts}); {approved} sessions approved,"
            f" {refunded} refunded; {looks} looks meanwhile"
        )


@pytest.fixture
def town(own_database: str) -> Town:
    """The people, in a database of their own."""
    with actors.connect(own_database) as db, db.transaction():
        return settle(db, random.Random(f"town {SEED}"))  # noqa: S311 - repeatable, not secret


def test_no_credit_is_lost_or_made_when_requests_are_repeated_and_abandoned(
    own_database: str, town: Town
) -> None:
    requests = draw(town, random.Random(f"requests {SEED}"))  # noqa: S311 - repeatable, not secret

    outcomes, looks = storm(own_database, requests)

    with actors.connect(own_database) as db:
        assert disagreements(db) == []
        books = Books(db)
    assert books.incomplete_sessions() == []
    for outcome in outcomes:
        books.check(outcome)
    for answers in books.answers.values():
        assert all(answer == answers[0] for answer in answers)
    assert looks > 0
    print(books.summary(outcomes, looks))
