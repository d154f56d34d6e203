"""What an install looks at before it changes anything, and how it says what is in its way."""

import re
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from scripts import ROOT, CommandError
from scripts.local.postgres import WHEEL_BIN
from scripts.operate import psql
from scripts.operate.sql_files import object_file
from tests import actors
from tests.actors import Connection, approve, call, propose, row
from tests.house.test_catalogue import ENTRY_POINTS
from tests.install.places import ADA, THERAPIST, install
from tests.install.test_install import OLD, schema
from tests.servers import Server

_FILES = [
    ROOT / "sql" / "install" / f"{name}.sql"
    for name in ("our_columns", "our_indexes", "our_public_objects", "preconditions")
]
PRECONDITIONS = "".join(file.read_text() for file in _FILES)  # with the lists that they read


@pytest.fixture
def old(server: Server) -> Iterator[Connection]:
    """A connection to a database of an older project, where nothing of ours is installed yet."""
    name = f"test_before_{uuid4().hex[:8]}"
    address = server.create(name, "template0")
    try:
        psql.apply(address, [psql.SUPABASE])
        with actors.connect(address) as db:
            db.execute(OLD)
            db.execute("drop view public.upcoming")
            yield db
    finally:
        server.drop(name)


def complaints(db: Connection) -> list[str]:
    """Return what an install says is missing; it must change nothing."""
    before = schema(db)
    with pytest.raises(CommandError) as caught:
        install(db)
    said = str(caught.value)
    assert said.count("ERROR") == 1
    assert "nothing was changed" in said
    assert schema(db) == before
    return re.findall(r"^  - (.*)$", said, re.M)


def test_every_unsuitable_column_type_is_reported_with_its_remedy(
    old: Connection,
) -> None:
    old.execute(
        """
        alter table public.sessions
          alter start_time type timestamp,
          alter status type varchar(12),
          add column is_instant text,
          add column created_by bigint,
          add column title jsonb,
          add column time_zone char(8),
          add column duration_minutes interval;
        alter table public.user_credits
          alter credits_balance drop default, alter credits_balance type text,
          add column expires_at date, add column status boolean
        """
    )

    said = complaints(old)

    own = "; change its type, or rename it, and the install adds its own"
    assert said == [
        "column public.sessions.created_by of type uuid: it is bigint" + own,
        "column public.sessions.duration_minutes of type number: it is interval" + own,
        "column public.sessions.is_instant of type boolean: it is text" + own,
        "column public.sessions.start_time of type timestamptz: it is timestamp without time zone;"
        " alter table public.sessions alter column start_time type timestamptz using start_time"
        " at time zone 'UTC', or whichever zone it was written in",
        "column public.sessions.title of type text: it is jsonb" + own,
        "column public.user_credits.credits_balance of type number: it is text",
        "column public.user_credits.expires_at of type timestamptz: it is date;"
        " alter table public.user_credits alter column expires_at type timestamptz using expires_at"
        " at time zone 'UTC', or whichever zone it was written in",
        "column public.user_credits.status of type text or enum: it is boolean" + own,
        "room for 16 letters in column public.sessions.status: it is character varying(12);"
        " alter table public.sessions alter column status type text",
        "room for 32 letters in column public.sessions.time_zone: it is character(8);"
        " alter table public.sessions alter column time_zone type text",
    ]


def test_columns_just_wide_enough_and_an_enum_status_of_a_lot_are_accepted(
    old: Connection,
) -> None:
    old.execute(
        "alter table public.sessions alter status type varchar(16),"
        " add column time_zone varchar(32);"
        " create type public.lot_status as enum ('active', 'inactive');"
        " alter table public.user_credits add column status public.lot_status default 'active'"
    )

    install(old)

    session = propose(old, THERAPIST, ADA, p_time_zone="America/Argentina/ComodRivadavia")
    assert session["status"] == "pending_approval"


def test_a_session_status_of_an_enum_type_is_reported(old: Connection) -> None:
    old.execute(
        "alter table public.sessions drop constraint known_states,"
        " drop constraint cancelled_ones_say_when, alter status drop default;"
        " create type public.state as enum ('scheduled', 'confirmed', 'completed', 'cancelled',"
        " 'rescheduled');"
        " alter table public.sessions alter status type public.state using status::public.state"
    )

    assert complaints(old) == ["column public.sessions.status of type text: it is state"]


def test_columns_that_new_rows_leave_empty_or_cannot_write_are_reported(
    old: Connection,
) -> None:
    old.execute(
        """
        alter table public.sessions
          alter id drop default,
          add column company_id integer not null default 1,
          add column room integer,
          add column notes text not null default '',
          add column length interval,
          alter duration drop default, alter duration type interval using '1 hour',
          add column title text generated always as ('Session') stored;
        update public.sessions set room = 1, length = '1 hour';
        alter table public.sessions
          alter room set not null, alter length set not null, alter duration set not null;
        alter table public.user_credits
          add column bought_at date, add column serial integer generated always as identity;
        update public.user_credits set bought_at = now();
        alter table public.user_credits alter bought_at set not null
        """
    )

    said = complaints(old)

    assert [re.split("[,:]| that ", line)[0] for line in said] == [
        "a default for column public.sessions.duration",
        "a default for column public.sessions.id",
        "a default for column public.sessions.length",
        "a default for column public.sessions.room",
        "a default for column public.user_credits.bought_at",
        "column public.sessions.notes",
        "column public.sessions.title",
    ]
    assert "alter table public.sessions alter column notes drop not null" in said[5]


def test_a_trigger_of_the_application_may_fill_a_column_without_a_default(old: Connection) -> None:
    old.execute(
        """
        alter table public.sessions add column reference text;
        update public.sessions set reference = id::text;
        alter table public.sessions alter reference set not null;
        create function public.refer() returns trigger language plpgsql as
          'begin new.reference := new.id::text; return new; end';
        create trigger refer before insert on public.sessions
          for each row execute function public.refer()
        """
    )

    install(old)

    session = propose(old, THERAPIST, ADA)
    assert row(old, "sessions", session["id"])["reference"] == str(session["id"])


def test_our_own_triggers_do_not_count_as_filling_a_column(old: Connection) -> None:
    install(old)
    old.execute(
        "alter table public.sessions add column reference text;"
        " update public.sessions set reference = id::text;"
        " alter table public.sessions alter reference set not null"
    )

    [said] = complaints(old)

    assert said.startswith("a default for column public.sessions.reference,")


def test_every_function_of_the_application_with_our_name_is_reported_with_any_signature(
    old: Connection,
) -> None:
    old.execute(
        """
        create function public.get_credits() returns integer language sql as 'select 1';
        create function public.list_sessions(p_page integer) returns integer
          language sql as 'select 1';
        create function public.approve_session_and_deduct_credit(p_session_id text)
          returns text language sql as 'select 1::text';
        create function public.get_session_count() returns integer language sql as 'select 1'
        """
    )

    assert complaints(old) == [
        f"the name of function public.{function}, which is not ours: rename it, or drop it"
        for function in (
            "approve_session_and_deduct_credit(p_session_id text)",
            "get_credits()",
            "list_sessions(p_page integer)",
        )
    ]


def test_every_entry_point_is_on_the_list_of_names() -> None:
    [names] = re.findall(r"f\.proname in \((.*?)\)", PRECONDITIONS, re.S)

    assert set(re.findall(r"'(\w+)'", names)) == ENTRY_POINTS


def test_every_column_that_a_proposal_or_a_grant_writes_is_on_the_list(db: Connection) -> None:
    [needed] = re.findall(r"needed \(.*?\n  \),\n", PRECONDITIONS, re.S)
    filled = {tuple(name.split(".")) for name in re.findall(r"\('([\w.]+)', '[^']*', '", needed)}
    db.execute(_FILES[0].read_text())
    ours = db.execute("select table_name, name from pg_temp.our_columns where filled is not null")
    filled |= {(column["table_name"], column["name"]) for column in ours}
    for table, function in (
        ("sessions", "insert_or_find_proposal"),
        ("user_credits", "add_credits"),
    ):
        text = object_file(function).read_text()
        [columns] = re.findall(rf"insert into public\.{table} \((.*?)\)", text, re.S)
        for column in re.findall(r"\w+", columns):
            assert (table, column) in filled, (
                f"sql/sessions/{function}.sql writes {column}: say that it is filled in"
                " sql/install/our_columns.sql or, if the application brings it, preconditions.sql"
            )


@pytest.mark.parametrize("table", ["sessions", "user_credits"])
def test_a_view_in_place_of_a_table_is_reported(old: Connection, table: str) -> None:
    old.execute(
        f"alter table public.{table} rename to all_of_them;"
        f" create view public.{table} as select * from public.all_of_them"
    )

    assert complaints(old) == [f"table public.{table}, an ordinary one: it is a view"]


def test_a_missing_users_table_is_reported_without_its_columns(old: Connection) -> None:
    old.execute(
        "drop table public.users cascade;"
        " create schema session_approval; create table session_approval.begun ()"
    )

    said = complaints(old)

    assert [line for line in said if "user_type" in line] == []
    assert said[0].startswith("table public.users: where people live in another table")


@pytest.mark.parametrize(
    ("what", "instead", "said"),
    [
        ("'anon'", "'no_such_role'", "role no_such_role: Supabase has it"),
        ("'authenticated'", "'no_such_role'", "role no_such_role: Supabase has it"),
        ("'service_role'", "'no_such_role'", "role no_such_role: Supabase has it"),
        ("current_setting('server_version_num')::integer", "139999", "PostgreSQL 14 or newer"),
        ("current_setting('server_version_num')::integer", "140000", None),
    ],
)
def test_an_old_server_or_a_missing_role_is_reported(
    old: Connection, what: str, instead: str, said: str | None
) -> None:
    text = PRECONDITIONS
    assert text.count(what) == 1
    looking = text.replace(what, instead)

    if said is None:
        old.execute(looking)
    else:
        with pytest.raises(psycopg.Error, match=said):
            old.execute(looking)


def test_a_function_with_another_schema_or_signature_does_not_count_as_auth_uid(
    old: Connection,
) -> None:
    old.execute(
        "alter function auth.uid() rename to id;"
        " create function auth.uid(integer) returns uuid return null::uuid;"
        " create function public.uid() returns uuid return null::uuid"
    )
    assert complaints(old)[0].startswith("function auth.uid(): Supabase has it")


def test_a_missing_extension_is_reported_with_its_package(old: Connection) -> None:
    text = PRECONDITIONS

    with pytest.raises(psycopg.Error, match="which this server does not have: install its contrib"):
        old.execute(text.replace("btree_gist", "no_such_extension"))


def test_every_privilege_that_the_installing_role_lacks_is_reported(old: Connection) -> None:
    role = f"test_weak_{uuid4().hex[:8]}"
    old.execute(f"create role {role} nologin; revoke create on schema public from public")
    try:
        result = subprocess.run(
            [
                *(WHEEL_BIN / "psql", "-X", "-1", "-q", "-v", "ON_ERROR_STOP=1"),
                *("-d", old.info.dsn, "-c", f"set role {role}", "-f", psql.INSTALL),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        old.execute(f"drop owned by {role}; drop role {role}")

    said = re.findall(r"^  - (.*)$", result.stderr, re.M)
    assert said == [
        "the privilege to create a schema and the extension btree_gist: grant create on database"
        f" {old.info.dbname} to {role}",
        f"the privilege to create functions: grant create on schema public to {role}",
        f"the privilege to call auth.uid(): grant usage on schema auth to {role}",
        *(
            f"ownership of table public.{table}: it belongs to postgres; install as that role,"
            f" or grant it to {role}"
            for table in ("sessions", "user_credits")
        ),
    ]


@pytest.mark.parametrize(
    ("found", "creating", "owning"),
    [
        ("create extension btree_gist", True, False),
        ("create schema session_approval authorization {role}", True, False),
        (
            "create extension btree_gist; create schema session_approval authorization {role}",
            False,
            False,
        ),
        ("create extension btree_gist; create schema session_approval", False, True),
    ],
)
def test_the_create_privilege_is_required_only_if_the_install_creates_something(
    old: Connection, found: str, creating: bool, owning: bool
) -> None:
    role = f"test_weak_{uuid4().hex[:8]}"
    old.execute(f"create role {role} nologin; grant usage on schema auth to {role}")
    try:
        old.execute(found.format(role=role))
        with pytest.raises(psycopg.Error) as caught:
            old.execute(f"set local role {role};{PRECONDITIONS}")
    finally:
        old.execute(f"drop owned by {role}; drop role {role}")

    said = str(caught.value)
    assert ("the privilege to create a schema and the extension" in said) == creating
    assert ("ownership of schema session_approval: it belongs to postgres" in said) == owning


# A length in a column of the project's own.


@pytest.mark.parametrize("kind", ["integer", "smallint", "numeric", "double precision"])
def test_a_proposal_has_its_length_in_the_projects_own_column_too(
    old: Connection, kind: str
) -> None:
    old.execute(
        f"alter table public.sessions alter duration drop default, alter duration type {kind},"
        " alter duration set not null"
    )
    install(old)

    def length(session: dict[str, Any]) -> int:
        return int(row(old, "sessions", session["id"])["duration"])

    session = propose(old, THERAPIST, ADA, p_duration_minutes=45)
    instant = propose(old, THERAPIST, ADA, p_duration_minutes=20, p_is_instant=True)
    approve(old, ADA, instant)

    assert (length(session), length(instant)) == (45, 20)
    assert call(old, ADA, "list_sessions")[0]["duration_minutes"] in (20, 45)


def test_a_length_that_the_projects_own_code_writes_is_left_alone(old: Connection) -> None:
    install(old)
    insert = (
        "insert into public.sessions (user_id, therapist_id, start_time, end_time {more})"
        " values (%s, %s, 'tomorrow 10:00', 'tomorrow 11:00' {values}) returning duration"
    )
    for more, values, expected in (("", "", 60), (", duration_minutes", ", 15", 60)):
        [found] = old.execute(
            insert.format(more=more, values=values), (ADA.id, THERAPIST.id)
        ).fetchall()
        assert found["duration"] == expected


@pytest.mark.parametrize("is_new", [True, False])
def test_a_length_of_another_type_is_left_alone(old: Connection, is_new: bool) -> None:
    if not is_new:
        install(old)
    old.execute("alter table public.sessions drop duration, add duration interval")

    install(old)

    session = propose(old, THERAPIST, ADA)
    assert row(old, "sessions", session["id"])["duration"] is None
