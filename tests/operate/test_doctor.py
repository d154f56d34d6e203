"""The doctor finds each thing that can go wrong with what is installed, and changes nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from scripts.operate import psql
from scripts.operate.sql_files import object_file
from tests import actors, programs
from tests.actors import Connection, add_person, propose

Found = dict[str, str]


@pytest.fixture
def db(own_database: str) -> Iterator[Connection]:
    """A connection as the owner, whose changes stay."""
    with actors.connect(own_database) as connection:
        yield connection


@dataclass(frozen=True)
class Answer:
    """What the doctor said: its exit status, and what is not in order."""

    status: int
    complaints: list[Found]

    def whats(self) -> list[tuple[str, str]]:
        """Return each complaint's level and what it is about."""
        return [(found["level"], found["what"]) for found in self.complaints]


def examine(db: Connection) -> Answer:
    """Look the database over, and return what is not in order."""
    ended = programs.run("doctor", db.info.dsn, "--json")
    assert ended.stderr == ""
    findings: list[Found] = json.loads(ended.stdout)["findings"]
    complaints = [found for found in findings if found["level"] != "ok"]
    assert all(found["why"] and found["do"] for found in complaints)
    return Answer(ended.returncode, complaints)


GUARD = "trigger session_approval_guard on public.sessions"

DAMAGES = {
    "a function that somebody changed": (
        "create or replace function session_approval.room_name(p_session_id uuid) returns text"
        " language sql immutable set search_path = '' as $$ select 'x' $$",
        [
            (
                "error",
                "function session_approval.room_name(uuid) is changed since the last install",
            )
        ],
    ),
    "a function that runs as another": (
        "alter function session_approval.get_credits(bigint) security invoker",
        [
            (
                "error",
                "function session_approval.get_credits(bigint) is changed since the last install",
            )
        ],
    ),
    "a view that somebody changed": (
        "create or replace view session_approval.clients as select id,"
        " full_name::text as full_name, email::text as email, time_zone"
        " from session_approval.people",
        [("error", "view clients is changed since the last install")],
    ),
    "a view of people of the project's own": (
        "create or replace view session_approval.people as select id, full_name, email, user_type,"
        " true as is_active, time_zone from public.users",
        [],
    ),
    "a function of somebody else's among ours": (
        "create function session_approval.extra() returns integer language sql as 'select 1';"
        " revoke all on function session_approval.extra() from public",
        [
            (
                "warning",
                "function session_approval.extra() is not from the last install",
            ),
            ("warning", "grants session_approval.extra() is not from the last install"),
        ],
    ),
    "a trigger that is gone": (
        "drop trigger session_approval_guard on public.sessions",
        [("error", f"{GUARD} is missing since the last install")],
    ),
    "a trigger that is disabled": (
        "alter table public.sessions disable trigger session_approval_guard",
        [("error", f"{GUARD} is disabled")],
    ),
    "a constraint that is gone": (
        "alter table session_approval.bookings drop constraint nobody_is_booked_twice",
        [
            (
                "error",
                "constraint nobody_is_booked_twice on session_approval.bookings is missing",
            ),
            (
                "warning",
                "index session_approval.nobody_is_booked_twice is missing since the last install",
            ),
        ],
    ),
    "a constraint that was not checked": (
        "alter table session_approval.settings"
        " add constraint late check (low_balance < 9) not valid",
        [
            (
                "warning",
                "constraint late on session_approval.settings is not from the last install",
            ),
            ("warning", "constraint late on session_approval.settings is not validated"),
        ],
    ),
    "an index that is gone": (
        "drop index public.user_credits_user_id_idx",
        [
            (
                "warning",
                "index public.user_credits_user_id_idx is missing since the last install",
            )
        ],
    ),
    "an index that was interrupted": (
        "update pg_index set indisvalid = false"
        " where indexrelid = 'public.user_credits_user_id_idx'::regclass",
        [
            (
                "warning",
                "index public.user_credits_user_id_idx on public.user_credits is invalid",
            )
        ],
    ),
    "a function that everybody can call": (
        "grant execute on function public.grant_credits to public",
        [
            (
                "warning",
                "grants public.grant_credits(uuid,integer,text,text,timestamp with time zone,text)"
                " is changed since the last install",
            ),
            (
                "error",
                "anon can execute"
                " public.grant_credits(uuid,integer,text,text,timestamp with time zone,text)",
            ),
        ],
    ),
    "a table that people can read": (
        "grant select on session_approval.credit_ledger to authenticated",
        [
            ("warning", "grants credit_ledger is changed since the last install"),
            ("error", "authenticated has privileges on session_approval.credit_ledger"),
        ],
    ),
    "a rule that people can change": (
        "grant update on session_approval.transitions to authenticated",
        [
            ("warning", "grants transitions is changed since the last install"),
            ("error", "authenticated has privileges on session_approval.transitions"),
        ],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_doctor_finds_each_damage_and_its_advice_repairs_it(
    db: Connection, damage: str
) -> None:
    statement, expected = DAMAGES[damage]
    db.execute(statement)

    answer = examine(db)

    assert answer.whats() == expected
    assert answer.status == int(any(level == "error" for level, _ in expected))
    for found in answer.complaints:
        if found["do"].startswith("make apply"):
            psql.apply(db.info.dsn, [psql.INSTALL])
        elif found["do"].startswith(("alter", "revoke", "reindex")):
            db.execute(found["do"])
    left = {what for _, what in examine(db).whats()}
    mendable = {
        found["what"]
        for found in answer.complaints
        if found["do"].startswith(("make apply", "alter", "revoke", "reindex"))
    }
    assert not left & mendable


def test_the_doctor_reports_another_release(db: Connection) -> None:
    db.execute(
        "create or replace function session_approval.version() returns text language sql immutable"
        " set search_path = '' as $$ select '0.0.9' $$;"
        " delete from session_approval.installs"
    )
    db.execute(object_file("record_install").read_text())

    answer = examine(db)

    [release, body] = answer.complaints
    assert "release 0.0.9, installed 2" in release["what"]
    assert release["level"] == "warning"
    assert body["what"] == (
        "function session_approval.version is not what this release's file says"
    )
    assert answer.status == 0


def test_the_doctor_reports_an_install_without_a_release(db: Connection) -> None:
    db.execute("drop function session_approval.object_digests()")

    [found] = examine(db).complaints

    assert "it does not know its release" in found["what"]


def test_the_doctor_names_sessions_that_book_a_person_twice(db: Connection) -> None:
    therapist, ada, ben = (
        add_person(db, kind) for kind in ("therapist", "individual", "individual")
    )
    session = propose(db, therapist, ada)
    db.execute(
        "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
        " values (%s, %s, %s, %s)",
        (ben.id, therapist.id, session["start_time"], session["end_time"]),
    )

    answer = examine(db)

    [found] = answer.complaints
    assert found["what"].startswith(f"{therapist.id} is booked twice, [")
    assert str(session["id"]) in found["what"]
    assert answer.status == 0


def test_a_schema_that_postgrest_exposes_is_an_error(db: Connection) -> None:
    name = db.info.dbname
    db.execute(f"alter database {name} set pgrst.db_schemas = 'public, session_approval'")

    answer = examine(db)

    assert answer.whats() == [
        ("error", "PostgREST exposes the schema session_approval (settings of all roles)")
    ]


def test_the_doctor_ignores_the_applications_own_tables(db: Connection) -> None:
    role = f"test_{uuid4().hex[:8]}"
    db.execute(f"create role {role}; create table public.theirs (id integer)")
    try:
        db.execute(f"grant all on public.theirs to {role}, anon")
        assert examine(db).complaints == []
    finally:
        db.execute(f"drop owned by {role}; drop role {role}")


def test_the_doctor_looks_for_every_constraint_of_our_tables(db: Connection) -> None:
    there = {
        found["name"]
        for found in db.execute(
            "select format('constraint %s on %s', conname, conrelid::regclass) as name"
            " from pg_constraint where connamespace = 'session_approval'::regnamespace"
            " and conrelid <> 0 and contype <> 'n'"
        )
    }
    for name in there:
        _, constraint, _, table = name.split()
        db.execute(f"alter table {table} drop constraint {constraint} cascade")

    named = {what.removesuffix(" is missing") for _, what in examine(db).whats()}

    assert there <= named


def test_an_install_does_not_hide_a_missing_constraint(db: Connection) -> None:
    db.execute("alter table session_approval.bookings drop constraint nobody_is_booked_twice")

    psql.apply(db.info.dsn, [psql.INSTALL])

    [found] = examine(db).complaints
    assert found["what"] == (
        "constraint nobody_is_booked_twice on session_approval.bookings is missing"
    )
    assert found["do"] == "add it as sql/migrations/0009_bookings.sql has it"
