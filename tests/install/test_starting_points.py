"""Into whatever a project has: what docs/install.md says changes, and every answer stays."""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.operate.sql_files import object_files
from tests.actors import Connection
from tests.house.test_install_doc import ROWS, named
from tests.install.places import (
    PLACES,
    answers,
    dump,
    install,
    place,
    queries,
    roll_back,
    seen_before,
)
from tests.servers import Server

Entry = tuple[str, str, str]  # schema, type, name

_ENTRY = re.compile(r"^-- Name: (.*); Type: (.*); Schema: (.*); Owner: .*$", re.M)
_DOORS = {file.stem for file in object_files() if "function public." in file.read_text()}
_TABLES = ("sessions", "user_credits")
_TYPES = "`public`, composite types"
_POLICIES = "policies, where row level security is on"
_REALTIME = "where Supabase Realtime is installed"


@pytest.fixture(params=PLACES)
def project(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[str, Connection]]:
    """A project's name, and a connection to its database."""
    if request.param == "millions" and not os.environ.get("TEST_MILLIONS"):
        pytest.skip("two million sessions take minutes: TEST_MILLIONS=1")
    with place(server, request.param) as db:
        yield request.param, db


def entries(db: Connection) -> dict[Entry, str]:
    """Return what pg_dump writes of each object."""
    text = re.sub(r"^SET .*$", "", dump(db, "--schema-only", "--no-owner"), flags=re.M)
    _, *parts = _ENTRY.split(text.partition("-- PostgreSQL database dump complete")[0])
    return {
        (schema, kind, name): text.strip("-\n ")
        for name, kind, schema, text in zip(*(parts[i::4] for i in range(4)), strict=True)
    }


def columns(table: str) -> set[str]:
    """Return the columns that the page says are added to a table."""
    return named(f"`public.{table}`, columns where missing")


def is_documented(entry: Entry) -> bool:
    """Say whether the page announces that an install makes, or changes, this object."""
    schema, kind, name = entry
    if kind in ("ACL", "COMMENT"):  # of an object that is named like this: TRIGGER x ON y
        kind, _, name = name.partition(" ")
        own, on, table = name.rpartition(" ON ")
        name = f"{table} {own}" if on else name
    table, _, own = name.replace(".", " ", 1).partition(" ")
    own = own.strip('"')
    if "session_approval" in (schema, name):
        return True
    match kind:
        case "FUNCTION":
            return schema == "public" and name.partition("(")[0] in _DOORS
        case "COLUMN":
            return (table in _TABLES and own in columns(table)) or table in named(_TYPES)
        case "TYPE":
            return schema == "public" and name in named(_TYPES)
        case "EXTENSION":
            return name == "btree_gist"
        case "INDEX":
            return name in named("indexes")
        case "TRIGGER" if table in _TABLES:
            return own in f"{ROWS[f'triggers on `{table}`']} {ROWS[_REALTIME]}"
        case "POLICY":
            return f'"{own}"' in ROWS[_POLICIES] + ROWS[_REALTIME]
    return False


def undocumented_lines(table: str, before: str, after: str) -> list[str]:
    """Return the lines of a table's definition that differ though the page says nothing of them."""
    old, new = (
        [line.strip().rstrip(",") for line in text.splitlines() if line.strip()]
        for text in (before, after)
    )
    return [
        line
        for line in {*old, *new}
        if (line in old) != (line in new)
        and line.partition(" ")[0] not in columns(table)
        and not (line.startswith("CONSTRAINT") and ("status" in line or is_named(line, table)))
    ]


def is_named(constraint: str, table: str) -> bool:
    """Whether the page names a constraint beside the columns of its table."""
    return f"`{constraint.split()[1]}`" in ROWS[f"`public.{table}`, columns where missing"]


def tables(db: Connection) -> dict[str, str]:
    """Return the tables that are not ours, each with the list of its columns."""
    found = db.execute(
        "select c.oid::regclass::text as name, string_agg(quote_ident(a.attname), ', ') as columns"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " where c.relkind = 'r'"
        " and n.nspname not in ('session_approval', 'pg_catalog', 'information_schema') group by 1"
    )
    return {table["name"]: table["columns"] for table in found}


def held(db: Connection, columns: dict[str, str]) -> dict[str, Any]:
    """Return how many rows each table holds, and a sum over what is in these columns."""
    return {
        table: db.execute(
            "select count(*), sum(hashtextextended(t::text, 0)::numeric)"
            f" from (select {names} from {table}) t"
        ).fetchall()
        for table, names in columns.items()
    }


def test_an_install_changes_only_documented_things_and_a_rollback_undoes_them_all(
    project: tuple[str, Connection],
) -> None:
    name, db = project
    asked, before, theirs = answers(db, name), entries(db), tables(db)
    rows = held(db, theirs)

    install(db)
    after = entries(db)

    assert {entry for entry in after.keys() - before.keys() if not is_documented(entry)} == set()
    assert before.keys() - after.keys() == set()
    for entry in sorted(entry for entry in before if before[entry] != after[entry]):
        schema, kind, table = entry
        if kind == "TABLE" and schema == "public" and table in _TABLES:
            assert undocumented_lines(table, before[entry], after[entry]) == []
        else:
            assert is_documented(entry), entry
    assert differing(held(db, theirs), rows) == ({"cron.job"} if name == "hosted" else set())
    assert seen_before(answers(db, name), asked) == asked

    install(db)
    assert entries(db) == after

    roll_back(db, "drop")
    assert entries(db) == before
    assert (tables(db), held(db, theirs)) == (theirs, rows)
    assert answers(db, name) == asked

    install(db)
    assert entries(db) == after

    roll_back(db)
    assert held(db, theirs) == rows
    assert seen_before(answers(db, name), asked) == asked
    left = "select from pg_proc f where f.prosrc like '%session_approval.%'"
    assert db.execute(left).rowcount == 0

    install(db)
    assert seen_before(answers(db, name), asked) == asked


def differing(now: dict[str, Any], before: dict[str, Any]) -> set[str]:
    """Return the keys whose values are not the same any more."""
    return {key for key in now.keys() | before.keys() if now.get(key) != before.get(key)}


def test_most_of_the_applications_statements_are_answered_rather_than_refused(
    server: Server,
) -> None:
    for name in PLACES.keys() - {"empty", "starter", "millions"}:  # no people; read only; large
        with place(server, name) as db:
            found = answers(db, name)
        assert len(found) == len(queries(name)) >= 30
        assert sum(isinstance(answer, tuple) for answer in found.values()) <= 2, name
