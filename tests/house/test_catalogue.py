"""The house's conventions, held by the catalogue and the files themselves."""

import re
from collections import Counter
from datetime import time, timedelta
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
    "follow_settings",
    "record_session_event",
    "record_truncated_credits",
}
# What a person does; the server may do it for the person whom it names.
ACTS = {
    "approve_session_and_deduct_credit",
    "cancel_session",
    "create_custom_session",
    "decline_session",
    "finish_session",
    "join_session",
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


def test_every_function_pins_its_search_path(db: Connection) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()

    assert len(functions) > len(ENTRY_POINTS) * 2
    unpinned = {f["name"] for f in functions if 'search_path=""' not in (f["proconfig"] or [])}
    # They set the search path for the application's triggers. A setting of their own would undo it.
    assert unpinned == {
        "switch_to_application_settings",
        "switch_back_to_our_settings",
    }


def test_an_entry_point_is_one_line_that_calls_its_implementation_as_the_caller(
    db: Connection,
) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()
    entry_points = {f["name"]: f for f in functions if f["schema"] == "public"}
    implementations = {f["name"]: f for f in functions if f["schema"] == "session_approval"}
    assert entry_points.keys() == ENTRY_POINTS

    for name, entry_point in entry_points.items():
        assert (entry_point["language"], entry_point["prosecdef"]) == ("sql", False), name
        call = re.fullmatch(
            rf"\s*select \*\s+from session_approval\.{name}\(\s*([\w,\s]*)\)\s*",
            entry_point["prosrc"],
        )
        assert call, name
        implementation = implementations[name]
        assert implementation["prosecdef"], name
        assert implementation["provolatile"] == entry_point["provolatile"], name
        inputs = [name for name in entry_point["proargnames"] or [] if name.startswith("p_")]
        assert re.findall(r"\w+", call[1]) == inputs, name
        assert (implementation["proargnames"] or [])[: len(inputs)] == inputs, name


def test_only_implementations_and_recording_triggers_run_as_their_owner(db: Connection) -> None:
    definers = db.execute(f"select * from ({OUR_FUNCTIONS}) f where prosecdef").fetchall()

    assert {(f["schema"], f["name"]) for f in definers} == {
        ("session_approval", name) for name in ENTRY_POINTS | TRIGGERED_AS_OWNER
    }


# A function that does this is volatile, and so is every function that calls it.
WRITES_OR_LOCKS = re.compile(
    r"\b(?:insert into|update \S+ |delete from|truncate|for (?:no key )?update|for share|lock table"
    r"|pg_(?:try_)?advisory|set_config|clock_timestamp|gen_random_uuid)"
)


def test_a_function_is_volatile_if_it_writes_or_locks_and_not_otherwise(
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
    # The planner must not leave a refusal out.
    assert declared == volatile | {"session_approval.refuse"}


def test_no_function_has_two_signatures(db: Connection) -> None:
    functions = db.execute(OUR_FUNCTIONS).fetchall()
    names = Counter((f["schema"], f["name"]) for f in functions)

    assert [name for name, count in names.items() if count > 1] == []


# The types of answers.

ATTRIBUTES = """
    select t.typname as type, a.attname as name, col_description(c.oid, a.attnum) as comment,
      obj_description(t.oid, 'pg_type') as type_comment
    from pg_type t
    join pg_class c on c.oid = t.typrelid
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where t.oid in (select o.oid from session_approval.public_objects o where o.kind = 'type')
    order by t.typname, a.attnum
"""


def test_every_entry_point_returns_rows_of_a_public_type_that_is_its_own(db: Connection) -> None:
    found = db.execute(
        "select f.proname as name, o.name as type, f.proretset from pg_proc f"
        " left join session_approval.public_objects o on o.oid = f.prorettype"
        " where f.oid in (select oid from session_approval.public_objects where kind = 'function')"
    ).fetchall()

    assert {row["name"] for row in found} == ENTRY_POINTS
    assert [row["name"] for row in found if not (row["type"] and row["proretset"])] == []
    assert {row["name"] for row in found if row["type"] == "session_answer"} == {
        *(ACTS - {"join_session"}),
        *("get_session", "list_pending_sessions", "list_sessions"),
    }
    differing = db.execute(
        "select f.proname from pg_proc f join pg_proc i on i.proname = f.proname"
        " and i.pronamespace = 'session_approval'::regnamespace and i.prorettype <> f.prorettype"
        " where f.pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert differing == []


def columns_of(db: Connection, relation: str) -> list[str]:
    """Return the columns of a view or a composite type, in order, each with its type."""
    found = db.execute(
        "select format('%%s %%s', a.attname, format_type(a.atttypid, a.atttypmod)) as line"
        " from pg_attribute a where a.attrelid = %s::regclass and a.attnum > 0"
        " and not a.attisdropped order by a.attnum",
        (relation,),
    ).fetchall()
    return [row["line"] for row in found]


def test_the_type_of_a_session_has_the_columns_of_the_view_that_fills_it(db: Connection) -> None:
    type_ = columns_of(db, "public.session_answer")
    view = columns_of(db, "session_approval.session_answers")

    missing = [f"    {line}," for line in view if line not in type_]
    assert missing == [], "\n".join(["add to sql/sessions/session_answer.sql:", *missing])
    missing = [f"  ... as {line}" for line in type_ if line not in view]
    assert missing == [], "\n".join(["add to sql/sessions/session_details.sql:", *missing])
    assert type_ == view
    assert type_[-1] == "beside jsonb"


def test_every_type_of_an_answer_and_every_column_of_it_has_a_comment(db: Connection) -> None:
    found = db.execute(ATTRIBUTES).fetchall()

    assert len(found) > 60
    silent = [f"{row['type']}.{row['name']}" for row in found if not row["comment"]]
    silent += [row["type"] for row in found if not row["type_comment"]]
    assert silent == []


def test_every_act_of_a_person_ends_with_whom_the_server_acts_for(db: Connection) -> None:
    found = db.execute(
        "select f.proname as name, f.proargnames as names,"
        " pg_get_function_arguments(f.oid) as text"
        " from pg_proc f where f.oid in (select o.oid from session_approval.public_objects o)"
    ).fetchall()

    naming = {row["name"]: row for row in found if "p_user_id" in (row["names"] or [])}
    assert naming.keys() - {"grant_credits"} == ACTS  # a grant is the server's own act
    for name in ACTS:
        assert naming[name]["text"].endswith("p_user_id uuid DEFAULT auth.uid()"), name


# Comments and indexes.


def test_everything_of_ours_has_a_comment(db: Connection) -> None:
    uncommented = [
        f"function {f['schema']}.{f['name']}" for f in db.execute(OUR_FUNCTIONS) if not f["comment"]
    ]
    uncommented += [
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
    uncommented += [f"column {c['table']}.{c['column']}" for c in ours if not c["comment"]]
    triggers = db.execute(
        "select t.tgname as name, t.tgrelid::regclass::text as table,"
        " obj_description(t.oid, 'pg_trigger') as comment"
        " from pg_trigger t where not t.tgisinternal"
    ).fetchall()
    assert len(triggers) >= 7
    uncommented += [f"trigger {t['name']} on {t['table']}" for t in triggers if not t["comment"]]
    [schema] = db.execute(
        "select obj_description('session_approval'::regnamespace, 'pg_namespace') as comment"
    ).fetchall()

    assert uncommented == []
    assert schema["comment"]


def test_every_foreign_key_has_an_index(db: Connection) -> None:
    keys = db.execute(
        """
        select
          k.conname as name,
          exists (
            select
            from pg_index i
            where i.indrelid = k.conrelid
              and (i.indkey::smallint[])[0:array_length(k.conkey, 1) - 1] @> k.conkey
          ) as has_index
        from pg_constraint k
        where k.contype = 'f'
          and k.connamespace in ('public'::regnamespace, 'session_approval'::regnamespace)
        """
    ).fetchall()

    assert len(keys) >= 3
    assert [key["name"] for key in keys if not key["has_index"]] == []


def test_every_table_of_ours_has_a_primary_key(db: Connection) -> None:
    tables = db.execute(
        "select name, exists (select from pg_constraint k where k.conrelid = c.oid"
        f" and k.contype = 'p') as has_key from ({OUR_RELATIONS}) c where kind = 'r'"
    ).fetchall()

    assert len(tables) >= 7
    assert [table["name"] for table in tables if not table["has_key"]] == []


def test_every_trigger_is_enabled(db: Connection) -> None:
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


def test_the_file_of_a_function_has_its_name() -> None:
    files = [(file, names) for file in object_files() if (names := defined(file))]

    assert len(files) > len(ENTRY_POINTS)
    for file, names in files:
        assert names == {file.stem}, f"{file} defines {names}: one function a file, named after it"


def test_every_function_in_the_database_has_its_file(db: Connection) -> None:
    written = {name for file in object_files() for name in defined(file)}

    assert {f["name"] for f in db.execute(OUR_FUNCTIONS)} == written


def test_the_file_of_a_view_has_its_name(db: Connection) -> None:
    files = {
        file.stem
        for file in object_files()
        if re.search(r"^(create|  execute 'create) or replace view", file.read_text(), re.M)
    }
    views = {c["name"] for c in db.execute(OUR_RELATIONS) if c["kind"] == "v"}

    assert views - {"people"} == files


def test_the_install_lists_every_file_once_and_nothing_else() -> None:
    listed = included(psql.INSTALL)

    lists = {SQL / noun / name for noun in NOUNS for name in ("install.sql", "triggers.sql")}
    files = {*object_files(), *migrations(), *filter(Path.exists, lists)}
    run_by_hand = {SQL / "uninstall" / "preview.sql", SQL / "uninstall" / "uninstall.sql"}
    assert sorted(listed) == sorted(files - run_by_hand)
    assert [file for file in listed if file.parent.name == "migrations"] == migrations()


def included(file: Path) -> list[Path]:
    """Return the files that a file includes, each followed by those that it includes itself."""
    parts = [file.parent / name for name in re.findall(r"^\\ir (\S+)$", file.read_text(), re.M)]
    return [each for part in parts for each in (part, *included(part))]


def test_no_line_is_wider_than_110_columns() -> None:
    wide = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in FILES
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if len(line) > 110
    ]

    assert wide == []


def test_every_file_begins_with_a_comment() -> None:
    without = [file for file in FILES if not file.read_text().startswith("-- ")]

    assert without == []


def test_no_file_raises_40001_which_older_postgrest_retries_without_end() -> None:
    for file in FILES:
        code = re.sub(r"--.*", "", file.read_text())
        assert "40001" not in code
        assert "serialization_failure" not in code


def test_a_new_installation_has_these_settings(db: Connection) -> None:
    [settings] = db.execute("select * from session_approval.settings").fetchall()

    assert settings == {
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


def test_these_settings_may_be_zero(db: Connection) -> None:
    db.execute(
        "update session_approval.settings set join_early = '0', free_cancel_window = '0',"
        " buffer = '0', finish_after = '0', low_balance = 0, overrun = '0', correct_within = '0',"
        " no_show_after = '0', reminders = '{}', video_types = '{}'"
    )


@pytest.mark.parametrize(
    "setting",
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
def test_a_setting_without_meaning_is_refused(db: Connection, setting: str) -> None:
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue)):
        db.execute(f"update session_approval.settings set {setting}")


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
def test_a_row_without_meaning_is_refused(db: Connection, row: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(f"insert into session_approval.{row}")


@pytest.mark.parametrize(
    ("kind", "delta", "reference"),
    [("opening", 3, None), ("approval", -1, None), ("refund", 1, None), ("grant", 3, "pi_1")],
)
def test_the_ledger_takes_one_entry_of_what_happens_once(
    db: Connection, kind: str, delta: int, reference: str | None
) -> None:
    insert = (
        "insert into session_approval.credit_ledger"
        " (lot_id, session_id, kind, delta, balance_after, source, reference, returns_id) values"
        " (%(lot)s, %(session)s, %(kind)s, %(delta)s, 3, 'stripe', %(reference)s, %(returns)s)"
    )
    entry = {"lot": uuid4(), "session": uuid4(), "kind": kind, "delta": delta}
    entry |= {"reference": reference, "returns": -1 if kind == "refund" else None}
    db.execute(insert, entry)

    with pytest.raises(psycopg.errors.UniqueViolation), db.transaction():
        db.execute(insert, entry)

    another = {"lot": uuid4(), "session": uuid4(), "reference": "pi_2"}
    another["returns"] = -2 if kind == "refund" else None
    db.execute(insert, {**entry, **another})
