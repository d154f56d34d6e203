"""The house's conventions, held by the catalogue and the files themselves."""

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from scripts import ROOT
from scripts.operate import psql
from scripts.operate.sql_files import NOUNS, SQL, all_files, migrations, object_files
from tests.actors import Connection
from tests.house import access_matrix

ENTRY_POINTS = {
    name.removeprefix("function public.")
    for name in access_matrix.executable()
    if name.startswith("function public.")
}
TRIGGERED_AS_OWNER = {
    "broadcast_change",
    "clear_bookings",
    "sync_booking",
    "record_credit_entry",
    "record_session_event",
    "record_truncated_credits",
}
# Added to the application's tables by us, under names that nobody else uses.
OUR_COLUMNS = {
    "sessions": {
        "is_instant",
        "requires_approval",
        "created_by",
        "approval_expires_at",
        "approved_at",
        "credit_lot_id",
        "time_zone",
        "request_key",
    },
    "user_credits": {"expires_at", "credits_expired"},
}

OUR_FUNCTIONS = """
    select f.oid, n.nspname as schema, f.proname as name, f.prosecdef, f.proconfig, f.proacl,
      f.proargnames, f.provolatile, l.lanname as language, f.prosrc,
      f.prorettype = 'trigger'::regtype as is_trigger,
      obj_description(f.oid, 'pg_proc') as comment
    from pg_proc f
    join pg_namespace n on n.oid = f.pronamespace
    join pg_language l on l.oid = f.prolang
    where n.nspname = 'session_approval'
      or (n.nspname = 'public' and not exists (
        select from pg_depend d where d.objid = f.oid and d.deptype = 'e'))
"""
OUR_RELATIONS = """
    select c.oid, c.relname as name, c.relkind::text as kind,
      obj_description(c.oid, 'pg_class') as comment
    from pg_class c
    where c.relnamespace = 'session_approval'::regnamespace and c.relkind in ('r', 'v', 'S')
"""

FILES = all_files()


# Functions.


def test_every_function_has_its_search_path_pinned(db: Connection) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()

    assert len(functions) > len(ENTRY_POINTS) * 2
    loose = [f["name"] for f in functions if 'search_path=""' not in (f["proconfig"] or [])]
    assert loose == []


def test_every_door_is_one_line_that_calls_its_room_as_whoever_comes_in(db: Connection) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()
    doors = {f["name"]: f for f in functions if f["schema"] == "public"}
    rooms = {f["name"]: f for f in functions if f["schema"] == "session_approval"}

    for name, door in doors.items():
        assert (door["language"], door["prosecdef"]) == ("sql", False), name
        call = re.compile(
            rf"\s*select \*\s+from session_approval\.{name}\(\s*([\w,\s]*)\)\s*", re.DOTALL
        )
        called = call.fullmatch(door["prosrc"])
        assert called, name
        assert rooms[name]["prosecdef"], name
        assert rooms[name]["provolatile"] == door["provolatile"], name
        inputs = [argument for argument in door["proargnames"] or [] if argument[:2] == "p_"]
        assert re.findall(r"\w+", called[1]) == inputs, name
        assert (rooms[name]["proargnames"] or [])[: len(inputs)] == inputs, name


def test_exactly_the_rooms_and_the_recording_triggers_run_as_their_owner(db: Connection) -> None:
    definers = db.execute(f"select * from ({OUR_FUNCTIONS}) f where prosecdef").fetchall()

    assert {(f["schema"], f["name"]) for f in definers} == {
        ("session_approval", name) for name in ENTRY_POINTS | TRIGGERED_AS_OWNER
    }


# What a function does that reads nothing but what it finds. What it calls does it too.
WRITES_OR_LOCKS = re.compile(
    r"\b(?:insert into|update \S+ |delete from|truncate|for (?:no key )?update|for share|lock table"
    r"|pg_(?:try_)?advisory|set_config|clock_timestamp|gen_random_uuid)"
)


def test_a_function_is_declared_volatile_where_it_writes_or_locks_and_nowhere_else(
    db: Connection,
) -> None:
    functions = {
        f"{f['schema']}.{f['name']}": f for f in db.execute(OUR_FUNCTIONS) if not f["is_trigger"]
    }
    bodies = {
        name: " ".join(re.sub(r"--.*", "", f["prosrc"]).split()) for name, f in functions.items()
    }
    volatile = {name for name, body in bodies.items() if WRITES_OR_LOCKS.search(body)}
    while more := {
        name
        for name, body in bodies.items()
        if name not in volatile and volatile & set(re.findall(r"\b(\w+\.\w+)\(", body))
    }:
        volatile |= more
    assert len(volatile) > 20

    declared = {name for name, f in functions.items() if f["provolatile"] == "v"}
    # A refusal that is called for nothing else must not be left out by the planner.
    assert declared == volatile | {"session_approval.refuse"}


def test_no_function_has_two_signatures(db: Connection) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()
    names = Counter((f["schema"], f["name"]) for f in functions)

    assert [name for name, count in names.items() if count > 1] == []


# Comments and indexes.


def test_everything_of_ours_has_a_comment(db: Connection) -> None:
    silent = [
        f"function {f['schema']}.{f['name']}" for f in db.execute(OUR_FUNCTIONS) if not f["comment"]
    ]
    silent += [
        f"relation {c['name']}"
        for c in db.execute(OUR_RELATIONS)
        if c["kind"] != "S" and not c["comment"]
    ]
    columns = db.execute(
        "select c.relname as table, a.attname as column,"
        " col_description(c.oid, a.attnum) as comment,"
        " c.relnamespace = 'public'::regnamespace as is_theirs"
        " from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " where a.attnum > 0 and not a.attisdropped and c.relkind = 'r'"
        " and c.relnamespace in ('public'::regnamespace, 'session_approval'::regnamespace)"
    ).fetchall()
    ours = [
        column
        for column in columns
        if not column["is_theirs"] or column["column"] in OUR_COLUMNS.get(column["table"], set())
    ]
    assert sum(column["is_theirs"] for column in ours) == 10
    silent += [f"column {c['table']}.{c['column']}" for c in ours if not c["comment"]]
    triggers = db.execute(
        "select t.tgname as name, t.tgrelid::regclass::text as table,"
        " obj_description(t.oid, 'pg_trigger') as comment"
        " from pg_trigger t where not t.tgisinternal"
    ).fetchall()
    assert len(triggers) >= 7
    silent += [f"trigger {t['name']} on {t['table']}" for t in triggers if not t["comment"]]
    [schema] = db.execute(
        "select obj_description('session_approval'::regnamespace, 'pg_namespace') as comment"
    ).fetchall()

    assert silent == []
    assert schema["comment"]


def test_every_foreign_key_is_indexed(db: Connection) -> None:
    bare = db.execute(
        """
        select k.conname as name
        from pg_constraint k
        where k.contype = 'f'
          and k.connamespace in ('public'::regnamespace, 'session_approval'::regnamespace)
          and not exists (
            select
            from pg_index i
            where i.indrelid = k.conrelid
              and (i.indkey::smallint[])[0:array_length(k.conkey, 1) - 1] @> k.conkey
          )
        """
    ).fetchall()

    assert bare == []


def test_every_table_of_ours_has_a_primary_key(db: Connection) -> None:
    keyless = db.execute(
        f"select name from ({OUR_RELATIONS}) c where kind = 'r' and not exists ("
        "select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')"
    ).fetchall()

    assert keyless == []


def test_triggers_hold_against_every_writer(db: Connection) -> None:
    triggers = db.execute(
        "select t.tgname, t.tgenabled::text from pg_trigger t where not t.tgisinternal"
    ).fetchall()

    assert {trigger["tgenabled"] for trigger in triggers} == {"O"}


# Files.


def defined(file: Path) -> set[str]:
    """Return the functions that a file defines."""
    return set(
        re.findall(
            r"^create or replace function (?:public|session_approval)\.(\w+)\(",
            file.read_text(),
            re.MULTILINE,
        )
    )


def test_every_file_of_a_function_is_named_after_it() -> None:
    files = [(file, names) for file in object_files() if (names := defined(file))]

    assert len(files) > len(ENTRY_POINTS)
    for file, names in files:
        assert file.stem in names, file


def test_every_function_in_the_database_has_its_file(db: Connection) -> None:
    written = {name for file in object_files() for name in defined(file)}

    assert {f["name"] for f in db.execute(OUR_FUNCTIONS)} == written


def test_every_file_of_a_view_is_named_after_it(db: Connection) -> None:
    files = {
        file.stem
        for file in object_files()
        if re.search(r"^create or replace view", file.read_text(), re.M)
    }
    views = {c["name"] for c in db.execute(OUR_RELATIONS) if c["kind"] == "v"}

    assert views - {"people"} == files


def test_the_install_lists_every_file_once_and_nothing_else() -> None:
    listed = included(psql.INSTALL)
    in_order = [file for file in listed if file.parent.name == "migrations"]

    lists = {SQL / noun / name for noun in NOUNS for name in ("install.sql", "triggers.sql")}
    there = [*object_files(), *migrations(), *filter(Path.exists, lists)]
    beside = {SQL / "uninstall" / "preview.sql", SQL / "uninstall" / "uninstall.sql"}
    assert sorted(listed) == sorted(set(there) - beside)
    assert in_order == migrations()


def included(file: Path) -> list[Path]:
    """Return the files that a file includes, and those that these include, in order."""
    named = re.findall(r"^\\ir (\S+)$", file.read_text(), re.MULTILINE)
    return [each for name in named for each in (file.parent / name, *included(file.parent / name))]


def test_no_line_is_wider_than_110_columns() -> None:
    wide = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in FILES
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if len(line) > 110
    ]

    assert wide == []


def test_every_file_opens_with_what_it_is_for() -> None:
    mute = [str(file.relative_to(ROOT)) for file in FILES if not file.read_text().startswith("-- ")]

    assert mute == []


def test_nothing_raises_the_state_that_older_postgrest_retries_for_ever() -> None:
    for file in FILES:
        code = re.sub(r"--.*", "", file.read_text())
        assert "40001" not in code
        assert "serialization_failure" not in code


def test_a_new_installation_begins_with_this_policy(db: Connection) -> None:
    [policy] = db.execute("select * from session_approval.settings").fetchall()

    assert policy == {
        "only_row": True,
        "default_time_zone": "UTC",
        "pending_ttl": timedelta(hours=72),
        "instant_ttl": timedelta(minutes=15),
        "join_early": timedelta(minutes=10),
        "free_cancel_window": timedelta(hours=24),
        "buffer": timedelta(0),
        "block_pending_slots": True,
        "video_base_url": None,
        "refund_grace": timedelta(days=30),
        "low_balance": 1,
        "finish_after": timedelta(minutes=15),
        "refund_no_show": False,
    }


def test_nothing_is_a_policy_too(db: Connection) -> None:
    db.execute(
        "update session_approval.settings set join_early = '0', free_cancel_window = '0',"
        " buffer = '0', finish_after = '0', low_balance = 0"
    )


@pytest.mark.parametrize(
    "policy",
    [
        "pending_ttl = '0'",
        "instant_ttl = '0'",
        "refund_grace = '0'",
        "join_early = '-1 second'",
        "free_cancel_window = '-1 second'",
        "buffer = '-1 second'",
        "finish_after = '-1 second'",
        "low_balance = -1",
        "default_time_zone = 'Europe/Nowhere'",
        "video_base_url = 'example.daily.co'",
        "video_base_url = 'https://example.daily.co/'",
        "only_row = false",
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(db: Connection, policy: str) -> None:
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue)):
        db.execute(f"update session_approval.settings set {policy}")


@pytest.mark.parametrize(
    "row",
    [
        "install_changes (kind, name) values ('table', 'sessions')",
        "transitions values ('scheduled', 'scheduled', 'stay', true)",
        "video_events (id, session_id, type, occurred_at)"
        " values ('e-1', gen_random_uuid(), 'meeting.paused', now())",
    ],
)
def test_a_row_that_no_reader_would_understand_is_refused(db: Connection, row: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(f"insert into session_approval.{row}")


@pytest.mark.parametrize(
    ("kind", "delta", "reference"),
    [("opening", 3, None), ("approval", -1, None), ("refund", 1, None), ("grant", 3, "pi_1")],
)
def test_what_happens_once_has_one_entry_in_the_ledger(
    db: Connection, kind: str, delta: int, reference: str | None
) -> None:
    insert = (
        "insert into session_approval.credit_ledger"
        " (lot_id, session_id, kind, delta, balance_after, source, reference) values"
        " (%(lot)s, %(session)s, %(kind)s, %(delta)s, 3, 'stripe', %(reference)s)"
    )
    entry = {"lot": uuid4(), "session": uuid4(), "kind": kind, "delta": delta}
    entry["reference"] = reference
    db.execute(insert, entry)

    with pytest.raises(psycopg.errors.UniqueViolation), db.transaction():
        db.execute(insert, entry)

    another = {"lot": uuid4(), "session": uuid4(), "reference": "pi_2"}
    db.execute(insert, {**entry, **another})
