"""The house's conventions, held by the catalogue and the files themselves."""

import re
from collections import Counter
from datetime import time, timedelta
from pathlib import Path

import psycopg
import pytest

from scripts import ROOT
from scripts.operate import psql
from scripts.operate.sql_files import NOUNS, object_files
from tests.actors import Connection

DOORS = {
    "approve_session_and_deduct_credit",
    "cancel_session",
    "create_custom_session",
    "decline_session",
    "finish_session",
    "get_credits",
    "get_session",
    "join_session",
    "check_availability",
    "list_clients",
    "list_pending_sessions",
    "list_sessions",
    "preview_cancellation",
}
SERVER_DOORS = {
    "adjust_credits",
    "grant_credits",
    "reconcile_credits",
    "record_video_event",
    "sweep_sessions",
}
TRIGGERED_AS_OWNER = {
    "broadcast_change",
    "clear_bookings",
    "sync_booking",
    "record_credit_entry",
    "record_session_event",
    "record_truncated_credits",
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

SQL = ROOT / "sql"
FILES = sorted(SQL.rglob("*.sql"))


# Functions.


def test_the_doors_are_exactly_these(db: Connection) -> None:
    found = db.execute(f"select * from ({OUR_FUNCTIONS}) f where schema = 'public'").fetchall()

    assert sorted(function["name"] for function in found) == sorted(DOORS | SERVER_DOORS)


def test_every_function_has_its_search_path_pinned(db: Connection) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()

    assert len(functions) > len(DOORS) * 2
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
        ("session_approval", name) for name in DOORS | SERVER_DOORS | TRIGGERED_AS_OWNER
    }


def test_functions_that_only_read_are_declared_so(db: Connection) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()
    doors = DOORS | SERVER_DOORS
    reading = {f["name"] for f in functions if f["provolatile"] != "v" and f["name"] in doors}

    assert reading == {
        "check_availability",
        "get_credits",
        "get_session",
        "list_clients",
        "list_pending_sessions",
        "list_sessions",
        "preview_cancellation",
        "reconcile_credits",
    }


def test_functions_that_write_lock_or_refuse_are_not_declared_to_only_read(db: Connection) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()
    doors = DOORS | SERVER_DOORS
    others = [f for f in functions if f["name"] not in doors and not f["is_trigger"]]

    assert {f["name"] for f in others if f["provolatile"] == "v"} == {
        "add_credits",
        "announce_direct_write",
        "add_column",
        "close_session",
        "debit_one_credit",
        "end_proposal",
        "expire_lot",
        "expire_proposal",
        "book_slot",
        "insert_or_find_proposal",
        "lock_calendars",
        "note_credit_entry",
        "note_status_change",
        "refund_one_credit",
        "refuse",
        "lock_tables",
    }


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
    db.execute((SQL / "install" / "our_columns.sql").read_text())
    added = db.execute(
        "select table_name, name from pg_temp.our_columns where comment is not null"
    ).fetchall()
    assert len(added) >= 10
    ours = [
        column
        for column in columns
        if not column["is_theirs"]
        or {"table_name": column["table"], "name": column["column"]} in added
    ]
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


def defined(file: Path) -> list[tuple[str, int]]:
    """Return the functions that a file defines, each with its length in lines."""
    bodies = re.finditer(
        r"^create or replace function (?:public|session_approval)\.(\w+)\(.*?\$\$;$",
        file.read_text(),
        re.DOTALL | re.MULTILINE,
    )
    return [(body[1], body[0].count("\n") + 1) for body in bodies]


def test_every_file_of_a_function_is_named_after_it() -> None:
    files = [(file, names) for file in object_files() if (names := {n for n, _ in defined(file)})]

    assert len(files) > len(DOORS)
    for file, names in files:
        assert file.stem in names, file


def test_every_function_in_the_database_has_its_file(db: Connection) -> None:
    written = {name for file in object_files() for name, _ in defined(file)}

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
    migrations = [file for file in listed if file.parent.name == "migrations"]

    lists = {SQL / noun / name for noun in NOUNS for name in ("install.sql", "triggers.sql")}
    there = [*object_files(), *(SQL / "migrations").glob("*.sql"), *filter(Path.exists, lists)]
    beside = {SQL / "uninstall" / "preview.sql", SQL / "uninstall" / "uninstall.sql"}
    assert sorted(listed) == sorted(set(there) - beside)
    assert migrations == sorted(migrations)


def included(file: Path) -> list[Path]:
    """Return the files that a file includes, and those that these include, in order."""
    named = re.findall(r"^\\ir (\S+)$", file.read_text(), re.MULTILINE)
    return [each for name in named for each in (file.parent / name, *included(file.parent / name))]


def test_no_function_is_longer_than_ninety_lines() -> None:
    long = [(name, lines) for file in FILES for name, lines in defined(file) if lines > 90]

    assert long == []


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
        "default_duration": 30,
        "therapist_types": ["therapist"],
        "client_types": ["individual", "user"],
        "video_types": ["video"],
        "client_scope": "all",
        "application_search_path": "public, extensions",
        "suggestion_ttl": timedelta(hours=72),
        "pending_per_pair": 5,
        "pending_per_client": 20,
        "overrun": timedelta(minutes=15),
        "day_starts": time(8),
        "day_ends": time(20),
        "correct_within": timedelta(days=7),
        "no_show_after": timedelta(minutes=10),
        "refund_client_no_show": False,
        "refund_unattended": True,
        "refund_written_cancels": True,
        "therapist_may_refund": True,
        "reminders": [timedelta(hours=24), timedelta(hours=1)],
        "message_detail": "discreet",
    }


def test_what_may_be_null_in_our_tables_is_listed(db: Connection) -> None:
    found = db.execute(
        "select c.relname as table, string_agg(a.attname, ' ' order by a.attnum) as columns"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = 'session_approval'::regnamespace and c.relkind = 'r'"
        " and not a.attnotnull and not a.attisdropped group by c.relname"
    ).fetchall()

    assert {row["table"]: row["columns"] for row in found} == {
        "credit_ledger": "user_id session_id actor_id reason source reference returns_id"
        " private_reason",
        "install_changes": "was became",
        "session_events": "from_status to_status actor_id reason from_start to_start"
        " private_reason",
        "settings": "video_base_url",
        "video_events": "user_id",
    }


def test_nothing_is_a_policy_too(db: Connection) -> None:
    db.execute(
        "update session_approval.settings set join_early = '0', free_cancel_window = '0',"
        " buffer = '0', finish_after = '0', low_balance = 0, overrun = '0', correct_within = '0',"
        " no_show_after = '0', reminders = '{}', video_types = '{}'"
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
        "default_duration = 4",
        "default_duration = 481",
        "therapist_types = '{}'",
        "therapist_types = '{therapist,null}'",
        "client_types = '{}'",
        "client_types = '{user,null}'",
        "video_types = '{null}'",
        "client_scope = 'some'",
        "application_search_path = ' '",
        "suggestion_ttl = '0'",
        "pending_per_pair = 0",
        "pending_per_client = 0",
        "overrun = '-1 second'",
        "day_ends = '08:00'",
        "correct_within = '-1 second'",
        "no_show_after = '-1 second'",
        "reminders = '{1 hour,0}'",
        "reminders = '{null}'",
        "message_detail = 'some'",
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
        "session_events (session_id, kind) values (gen_random_uuid(), 'paused')",
        "video_events (id, session_id, type, occurred_at)"
        " values ('e-1', gen_random_uuid(), 'meeting.paused', now())",
    ],
)
def test_a_row_that_no_reader_would_understand_is_refused(db: Connection, row: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(f"insert into session_approval.{row}")


def test_these_indexes_are_there_for_what_is_asked_often_or_allowed_once(db: Connection) -> None:
    found = db.execute(
        "select i.indrelid::regclass::text as table, i.indisunique as once,"
        " regexp_replace(pg_get_indexdef(i.indexrelid), '.* USING btree |::text', '', 'g') as keys"
        " from pg_index i join pg_class c on c.oid = i.indrelid"
        " where c.relnamespace = 'session_approval'::regnamespace and not i.indisprimary"
        " and not i.indisexclusion or i.indexrelid in (select to_regclass('public.' || n.name)"
        " from session_approval.install_changes n where n.kind = 'index')"
    ).fetchall()

    live = "ARRAY['scheduled', 'confirmed', 'in_progress']"
    assert {(row["table"].split(".")[-1], row["keys"]) for row in found if row["once"]} == {
        ("sessions", "(created_by, request_key) WHERE (request_key IS NOT NULL)"),
        ("credit_ledger", "(lot_id) WHERE (kind = 'opening')"),
        (
            "credit_ledger",
            "(session_id, COALESCE(returns_id, (0)::bigint))"
            " WHERE (kind = ANY (ARRAY['approval', 'refund']))",
        ),
        ("credit_ledger", "(returns_id) WHERE (returns_id IS NOT NULL)"),
        ("credit_ledger", "(source, reference) WHERE (kind = 'grant')"),
    }
    assert {(row["table"].split(".")[-1], row["keys"]) for row in found if not row["once"]} == {
        ("sessions", "(user_id, created_at DESC) WHERE (status = 'pending_approval')"),
        ("sessions", "(approval_expires_at) WHERE (status = 'pending_approval')"),
        ("sessions", f"(end_time) WHERE (requires_approval AND (status = ANY ({live})))"),
        ("sessions", "(user_id, start_time DESC, id)"),
        ("sessions", "(therapist_id, start_time DESC, id)"),
        ("user_credits", "(user_id)"),
        ("user_credits", "(expires_at) WHERE (credits_balance > 0)"),
        ("credit_ledger", "(lot_id, id)"),
        ("credit_ledger", "(user_id, id DESC)"),
        ("session_events", "(session_id, id)"),
        ("video_events", "(session_id, occurred_at)"),
    }
