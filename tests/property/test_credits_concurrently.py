"""Everybody at once: repeated and abandoned requests lose no credit, and make none."""

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest

from tests import people
from tests.people import Connection, Person
from tests.servers import Server

OPERATIONS = int(os.environ.get("STORM_OPERATIONS", "1000"))
CONNECTIONS = 16
CLIENTS = 200
SEED = int(os.environ.get("STORM_SEED", "20261122"))

# What an abandoned request may end with: cut off, cancelled or killed; the others are only refused.
ABANDONED = (None, "57014", "57P01")


@dataclass
class World:
    """The people, and what they were told."""

    therapists: list[Person]
    clients: list[Person]
    lots: list[UUID]
    sessions: list[tuple[UUID, Person, Person]] = field(default_factory=list)
    approved: list[UUID] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    abandoned: int = 0


@pytest.fixture
def world(own_database: str) -> World:
    """Two hundred clients with a few lots each, and their therapists."""
    with people.connect(own_database) as db:
        therapists = [people.add_person(db, "therapist") for _ in range(20)]
        clients = [people.add_person(db, "individual") for _ in range(CLIENTS)]
        lots = [
            people.give_credits(db, client, 1 + n % 2, expires_at=expiry)
            for n, client in enumerate(clients)
            for expiry in ("2031-01-01 00:00+00", None, "2020-01-01 00:00+00")
        ]
        world = World(therapists, clients, lots)
        for n in range(CLIENTS):
            propose(db, world, random.Random(n))  # noqa: S311 - a repeatable choice
    return world


def propose(db: Connection, world: World, choose: random.Random) -> None:
    """Propose a session between any two."""
    therapist, client = choose.choice(world.therapists), choose.choice(world.clients)
    session = people.propose(db, therapist, client, p_is_instant=choose.random() < 0.3)
    world.sessions.append((session["id"], therapist, client))


def approve(db: Connection, world: World, choose: random.Random) -> None:
    """Approve any session, now and then twice."""
    session, _, client = choose.choice(world.sessions)
    for _ in range(choose.choice((1, 1, 1, 2))):
        [row] = people.call(db, client, "approve_session_and_deduct_credit", p_session_id=session)
        assert row["status"] in ("scheduled", "confirmed")
        world.approved.append(session)


def decline(db: Connection, world: World, choose: random.Random) -> None:
    """Decline any session."""
    session, _, client = choose.choice(world.sessions)
    people.call(db, client, "decline_session", p_session_id=session)


def cancel(db: Connection, world: World, choose: random.Random) -> None:
    """Call any session off, as either person."""
    session, therapist, client = choose.choice(world.sessions)
    people.call(db, choose.choice((therapist, client)), "cancel_session", p_session_id=session)


def grant(db: Connection, world: World, choose: random.Random) -> None:
    """Grant credits under a reference that comes again."""
    people.call_as(
        db,
        "service_role",
        None,
        "grant_credits",
        p_user_id=choose.choice(world.clients).id,
        p_amount=choose.randint(1, 2),
        p_source="storm",
        p_reference=str(choose.randint(1, 200)),
    )


def adjust(db: Connection, world: World, choose: random.Random) -> None:
    """Correct any lot."""
    people.call_as(
        db,
        "service_role",
        None,
        "adjust_credits",
        p_lot_id=choose.choice(world.lots),
        p_delta=choose.choice((-2, -1, 1)),
        p_reason="storm",
        p_actor_id=world.therapists[0].id,
    )


def update_as_the_application_does(db: Connection, world: World, choose: random.Random) -> None:
    """Change a balance past the functions."""
    db.execute(
        "update public.user_credits set credits_balance = credits_balance + 1 where id = %s",
        (choose.choice(world.lots),),
    )


def sweep(db: Connection, _world: World, _choose: random.Random) -> None:
    """Put away what time has ended."""
    people.call_as(db, "service_role", None, "sweep_sessions")


ACTS = {
    approve: 50,
    propose: 20,
    cancel: 12,
    decline: 5,
    grant: 5,
    adjust: 3,
    update_as_the_application_does: 3,
    sweep: 2,
}


def work(address: str, world: World, seed: int, operations: int) -> None:
    """Do so many things on one connection, and abandon some of them half way."""
    choose = random.Random(seed)  # noqa: S311 - a repeatable choice
    db = people.connect(address)
    for _ in range(operations):
        [act] = choose.choices(list(ACTS), weights=list(ACTS.values()))
        abandon = None
        if choose.random() < 0.1:
            abandon = threading.Timer(choose.random() * 0.02, _abandon(address, db, choose))
            abandon.start()
        try:
            act(db, world, choose)
        except psycopg.Error as error:
            if abandon is not None and error.sqlstate in ABANDONED:
                world.abandoned += 1
            elif (error.sqlstate or "").startswith("PT"):
                world.refused[error.diag.message_hint or ""] += 1
            else:
                raise
        if abandon is not None:
            abandon.join()
            db.close()  # what was sent to end it may still be under way
            db = people.connect(address)
    db.close()


def _abandon(address: str, db: Connection, choose: random.Random) -> object:
    """Return what ends a request from outside: a cancelled statement, or a killed connection."""
    pid = db.info.backend_pid
    if choose.random() < 0.5:
        return db.cancel

    def kill() -> None:
        with people.connect(address) as other:
            other.execute("select pg_terminate_backend(%s)", (pid,))

    return kill


def watch(address: str, done: threading.Event, found: list[object]) -> None:
    """Read lots, ledger and sessions in one snapshot, again and again."""
    with people.connect(address) as db:
        while not done.is_set():
            found += db.execute("select * from public.reconcile_credits()").fetchall()
            done.wait(0.05)


@pytest.fixture
def watched(own_database: str) -> Iterator[list[object]]:
    """What a reader beside the storm finds wrong."""
    done, found = threading.Event(), list[object]()
    reader = threading.Thread(target=watch, args=(own_database, done, found))
    reader.start()
    yield found
    done.set()
    reader.join()


def test_a_storm_of_repeated_and_abandoned_requests_loses_no_credit_and_makes_none(
    server: Server, own_database: str, world: World, watched: list[object]
) -> None:
    del server
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        share = OPERATIONS // CONNECTIONS
        for done in [
            pool.submit(work, own_database, world, SEED + n, share) for n in range(CONNECTIONS)
        ]:
            done.result()

    assert watched == []
    with people.connect(own_database) as db:
        assert db.execute("select * from public.reconcile_credits()").fetchall() == []
        debits = Counter(
            row["session_id"]
            for row in db.execute(
                "select session_id from session_approval.credit_ledger where kind = 'approval'"
            )
        )
        paid = {
            row["id"]
            for row in db.execute("select id from public.sessions where approved_at is not null")
        }
    assert set(debits.values()) == {1}
    assert set(debits) == paid  # whole, or absent
    assert set(world.approved) <= paid  # whoever was told so
    assert len(world.approved) > OPERATIONS / 20
    assert world.refused["INSUFFICIENT_CREDITS"] > 0
    assert world.abandoned > 0
