"""The databases that an install starts from, and what the applications in them ask."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from scripts import ROOT, CommandError
from scripts.local.postgres import WHEEL_BIN
from scripts.operate import psql
from tests import actors
from tests.actors import Connection, Person
from tests.servers import Server

HERE = Path(__file__).parent
ROLLBACK = ROOT / "sql" / "uninstall" / "uninstall.sql"
_STARTER = "the product's own"  # sql/starter

# Each place, and the files that make it, one over the other.
PLACES = {
    "older": ["older"],
    "earlier_attempt": ["older", "earlier_attempt"],
    "profiles": ["older", "profiles"],
    "some_of_ours": ["older", "some_of_ours"],
    "hosted": ["older", "hosted"],
    "row_security": ["row_security"],
    "overlapping": ["overlapping"],
    "extra_columns": ["extra_columns"],
    "empty": ["empty"],
    "starter": [_STARTER, "starter"],
    "millions": ["older", "millions"],
}

THERAPIST = Person(UUID("00000000-0000-4000-8000-000000000001"), "t@example.org", "Tara", "")
ADA = Person(UUID("00000000-0000-4000-8000-000000000002"), "a@example.org", "Ada", "")
BEN = Person(UUID("00000000-0000-4000-8000-000000000003"), "b@example.org", "Ben", "")
_SENDERS = {
    "ada": ("authenticated", ADA),
    "tara": ("authenticated", THERAPIST),
    "service_role": ("service_role", None),
    "owner": ("postgres", None),
}
_QUERY = re.compile(r"^-- (\w+): (.*)\n((?:.+\n?)+)", re.M)

# How one project calls what the others call users.
_NAMES = {"profiles": {"public.users": "public.profiles", "u.full_name": "u.display_name"}}


def text(name: str) -> str:
    """Return one file of a starting point."""
    return (HERE / "starting_points" / f"{name}.sql").read_text()


@contextmanager
def place(server: Server, name: str) -> Iterator[Connection]:
    """Lend a connection to a database of some project, where nothing of ours is installed yet."""
    own = f"test_place_{uuid4().hex[:8]}"
    address = server.create(own, "template0")
    try:
        psql.apply(address, [psql.SUPABASE])
        with actors.connect(address) as db:
            for file in PLACES[name]:
                if file == _STARTER:
                    psql.apply(address, [psql.STARTER])
                else:
                    db.execute(text(file))
            yield db
    finally:
        server.drop(own)


def queries(name: str) -> dict[str, tuple[str, str]]:
    """Return what the application of a place asks: who sends it, and the statement."""
    found = {}
    for sender, purpose, statement in _QUERY.findall((HERE / "queries.sql").read_text()):
        for theirs, own in _NAMES.get(name, {}).items():
            statement = statement.replace(theirs, own)
        found[f"{sender}: {purpose}"] = (sender, statement)
    return found


def answers(db: Connection, name: str) -> dict[str, Any]:
    """Ask everything, changing nothing, and return each answer: rows, or a refusal."""
    return {
        purpose: _answer(db, sender, statement)
        for purpose, (sender, statement) in queries(name).items()
    }


def _answer(db: Connection, sender: str, statement: str) -> Any:
    role, person = _SENDERS[sender]
    try:
        with db.transaction(force_rollback=True), actors.act_as(db, person, role):
            rows = db.execute(statement).fetchall()
    except psycopg.Error as error:
        return error.sqlstate, error.diag.message_primary
    if "order by" not in statement:  # rows that come in no order
        rows.sort(key=lambda row: json.dumps(row, default=str, sort_keys=True))
    return rows


def seen_before(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return today's answers without the columns that select * did not have before."""
    return {
        purpose: [{key: row[key] for key in old[0] if key in row} for row in now[purpose]]
        if isinstance(old, list) and old and isinstance(now[purpose], list)
        else now[purpose]
        for purpose, old in before.items()
    }


def install(db: Connection) -> None:
    """Install the product as a DBA does."""
    psql.apply(db.info.dsn, [psql.INSTALL])


def roll_back(db: Connection, columns: str = "keep") -> str:
    """Roll back as a DBA does; return what was said."""
    result = subprocess.run(
        [
            *(WHEEL_BIN / "psql", "-X", "-1", "-q", "-v", "ON_ERROR_STOP=1", "-d", db.info.dsn),
            *("-c", f"set session_approval.uninstall_columns = '{columns}'", "-f", ROLLBACK),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise CommandError(result.stderr)
    return result.stderr


def dump(db: Connection, *options: str) -> str:
    """Return a whole database, rows and all.

    A check over varchars is printed in two ways that mean the same, the second after reading back.
    From 15.20 on Postgres keeps a count among a column's options, which other pg_dumps print.
    """
    result = subprocess.run(
        [WHEEL_BIN / "pg_dump", "--restrict-key=x", *options, "-d", db.info.dsn],
        capture_output=True,
        text=True,
        check=True,
    )
    text = re.sub(r"\(('\w+'::character varying)\)::text", r"\1", result.stdout)
    text = re.sub(r"ALTER TABLE ONLY .+ SET \(pg_attver=\d+\);\n", "", text)
    return re.sub(r"\((ARRAY\['\w+'::character varying[^]]*\])\)::text\[\]", r"\1", text)
