"""The people of the tests, and what they do to a database, in their own words."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

Row = dict[str, Any]
Connection = psycopg.Connection[Row]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Person:
    """Somebody in the application's users table."""

    id: UUID
    email: str
    full_name: str
    user_type: str


def connect(address: str, *, autocommit: bool = True) -> Connection:
    """Open a connection as the owner, whose rows are dictionaries."""
    return psycopg.connect(address, autocommit=autocommit, row_factory=dict_row)


@contextmanager
def three_connections(address: str) -> Iterator[tuple[Connection, Connection, Connection]]:
    """Open one to prepare and look on, one whose transaction stays open, one that comes second."""
    with (
        connect(address) as owner,
        connect(address, autocommit=False) as first,
        connect(address) as second,
    ):
        yield owner, first, second


def add_person(
    db: Connection, user_type: str, full_name: str | None = None, *, is_active: bool = True
) -> Person:
    """Add somebody of a kind: therapist, individual, user, partner."""
    person_id = uuid4()
    name = full_name or f"{user_type.capitalize()} {person_id.hex[:6]}"
    email = f"{person_id.hex[:12]}@example.org"
    db.execute(
        "insert into public.users (id, email, full_name, user_type, is_active)"
        " values (%s, %s, %s, %s, %s)",
        (person_id, email, name, user_type, is_active),
    )
    return Person(person_id, email, name, user_type)


def forget_kind(db: Connection, person: Person) -> None:
    """Leave somebody without a kind, as applications whose column may be empty can."""
    db.execute("alter table public.users alter user_type drop not null")
    change(db, "users", person.id, user_type=None)


@contextmanager
def never_read_whole(db: Connection, table: str) -> Iterator[None]:
    """See that what is asked here finds its rows of a table by an index."""
    db.execute("set local enable_seqscan = off")
    scans = sql.SQL("select pg_stat_get_xact_numscans({}::regclass) as n").format(table)
    before = db.execute(scans).fetchall()
    yield
    assert db.execute(scans).fetchall() == before


def give_credits(
    db: Connection,
    client: Person,
    amount: int = 1,
    *,
    expires_at: datetime | str | None = None,
    created_at: datetime | str = "now",
) -> UUID:
    """Add a lot to a client's wallet, as the application does, and return its id."""
    row = db.execute(
        "insert into public.user_credits"
        " (user_id, user_type, credits_balance, expires_at, created_at)"
        " values (%s, 'individual', %s, %s, %s) returning id",
        (client.id, amount, expires_at, created_at),
    ).fetchone()
    assert row is not None
    lot_id: UUID = row["id"]
    return lot_id


@contextmanager
def act_as(db: Connection, person: Person | None, role: str = "authenticated") -> Iterator[None]:
    """Within the block the connection is what PostgREST makes of the person's token."""
    claims = {"role": role} if person is None else {"role": role, "sub": str(person.id)}
    with db.transaction():
        db.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        db.execute(
            "select pg_catalog.set_config('request.jwt.claims', %s, true)", (json.dumps(claims),)
        )
        yield
        db.execute("select pg_catalog.set_config('request.jwt.claims', '', true)")
        db.execute("reset role")


def call(db: Connection, person: Person | None, function: str, **arguments: Any) -> list[Row]:
    """Call a public function as a person, and return its rows."""
    return call_as(db, "authenticated", person, function, **arguments)


def call_as(
    db: Connection, role: str, person: Person | None, function: str, **arguments: Any
) -> list[Row]:
    """Call a public function with a token of any role, and return its rows."""
    statement = sql.SQL("select * from public.{}({})").format(
        sql.Identifier(function),
        sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in arguments
        ),
    )
    values = {  # a moment as JSON has it: in ISO 8601
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in arguments.items()
    }
    with act_as(db, person, role):
        return db.execute(statement, values).fetchall()


def free_slot(db: Connection) -> datetime:
    """Return a start that no session here can be in the way of: tomorrow at 10:00 UTC, or later."""
    [slot] = db.execute(
        "select greatest(max(s.end_time), 'tomorrow 10:00+00') as at from public.sessions s"
    ).fetchall()
    at: datetime = slot["at"]
    return at


def propose(db: Connection, therapist: Person, client: Person, **arguments: Any) -> Row:
    """Propose a session, in a free slot unless said otherwise, and return it."""
    if not arguments.get("p_is_instant") and not {"p_start_time", "p_session_date"} & set(
        arguments
    ):
        arguments["p_start_time"] = free_slot(db)
    [session] = call(db, therapist, "create_custom_session", p_patient_id=client.id, **arguments)
    return session


def approve(db: Connection, client: Person, session: Row) -> Row:
    """Approve a session as its client, and return it."""
    [approved] = call(db, client, "approve_session_and_deduct_credit", p_session_id=session["id"])
    return approved


def ledger(db: Connection, client: Person) -> list[Row]:
    """Return the ledger of one client, oldest first."""
    return db.execute(
        "select * from session_approval.credit_ledger where user_id = %s order by id", (client.id,)
    ).fetchall()


def balances(db: Connection, client: Person) -> list[int]:
    """Return the balances of one client's lots, in the order in which they were added."""
    rows = db.execute(
        "select credits_balance from public.user_credits where user_id = %s"
        " order by created_at, id",
        (client.id,),
    )
    return [row["credits_balance"] for row in rows]


def events(db: Connection, session: Row) -> list[Row]:
    """Return the events of one session, oldest first."""
    return db.execute(
        "select * from session_approval.session_events where session_id = %s order by id",
        (session["id"],),
    ).fetchall()


def row(db: Connection, table: str, row_id: UUID) -> Row:
    """Return one row of a public table, as it is stored."""
    statement = sql.SQL("select * from public.{} where id = %s").format(sql.Identifier(table))
    [found] = db.execute(statement, (row_id,)).fetchall()
    return found


def change(db: Connection, table: str, row_id: UUID, **columns: Any) -> None:
    """Change one row of a public table as an operator does; a test's clock is moved like this."""
    statement = sql.SQL("update public.{} set {} where id = {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in columns
        ),
        sql.Placeholder("row_id"),
    )
    assert db.execute(statement, {**columns, "row_id": row_id}).rowcount == 1


def configure(db: Connection, **settings: Any) -> None:
    """Change the installation's settings."""
    statement = sql.SQL("update session_approval.settings set {}").format(
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in settings
        )
    )
    db.execute(statement, settings)


def read_in_storage_order(db: Connection) -> None:
    """Have no index and no hash table put rows in order by chance, until the transaction ends."""
    by_chance = ("indexscan", "indexonlyscan", "bitmapscan", "hashjoin", "mergejoin")
    for setting in (f"enable_{plan}" for plan in by_chance):
        db.execute(sql.SQL("set local {} = off").format(sql.Identifier(setting)))


def contents(db: Connection) -> dict[str, list[Row]]:
    """Return every row of every table that the product reads or writes."""
    tables = {
        "public.users": "id",
        "public.sessions": "id",
        "public.user_credits": "id",
        "session_approval.settings": "only_row",
        "session_approval.credit_ledger": "id",
        "session_approval.session_events": "id",
        "session_approval.video_events": "id",
    }
    return {
        table: db.execute(f"select * from {table} order by {key}").fetchall()
        for table, key in tables.items()
    }


def wait_until_blocked(db: Connection, waiting: Connection) -> None:
    """Return once the other connection waits for a lock."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        [state] = db.execute(
            "select cardinality(pg_blocking_pids(%s)) > 0 as is_blocked",
            (waiting.info.backend_pid,),
        ).fetchall()
        if state["is_blocked"]:
            return
    raise AssertionError("the other connection never had to wait for a lock")


def overtaken(
    owner: Connection,
    first: Connection,
    second: Connection,
    act: Callable[[Connection], Answer],
    *,
    commits: bool = True,
) -> Future[Answer]:
    """Start something on the second connection, see it wait, end the first, and see it end."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(act, second)
        wait_until_blocked(owner, second)
        if commits:
            first.commit()
        else:
            first.rollback()
        return answer
