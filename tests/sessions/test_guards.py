"""The guards: with row level security and grants thrown wide open, the rules still hold."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from scripts.operate.sql_files import object_file
from tests.actors import (
    Connection,
    Person,
    Row,
    act_as,
    add_person,
    approve,
    balances,
    call,
    call_as,
    change,
    contents,
    events,
    give_credits,
    ledger,
    propose,
    row,
)
from tests.conftest import Refused

pytestmark = pytest.mark.usefixtures("wide_open")

ANOTHER = UUID(int=1)


@pytest.fixture
def wide_open(db: Connection) -> None:
    """Let everybody do everything that grants and policies can allow."""
    for table in ("users", "sessions", "user_credits"):
        db.execute(f"grant all on public.{table} to anon, authenticated")
        db.execute(
            f'create policy "Anything goes" on public.{table}'
            " for all to anon, authenticated using (true) with check (true)"
        )


@pytest.fixture
def pending(db: Connection, therapist: Person, client: Person) -> Row:
    """A proposal that waits."""
    return propose(db, therapist, client)


@pytest.fixture
def approved(db: Connection, therapist: Person, client: Person, now: datetime) -> Row:
    """An approved session that starts in an hour, too late for a refund."""
    give_credits(db, client, 3)
    return approve(
        db, client, propose(db, therapist, client, p_start_time=now + timedelta(hours=1))
    )


def write(
    db: Connection,
    person: Person | None,
    session: Row,
    role: str = "authenticated",
    **columns: Any,
) -> None:
    """Change a session directly, as a person with a token."""
    with act_as(db, person, role):
        change(db, "sessions", session["id"], **columns)


LIVE = ["scheduled", "confirmed", "in_progress"]
ENDED = ["completed", "no_show"]
# The statuses that a signed-in person may write, by the status before.
WRITABLE = {
    "pending_approval": {"cancelled"},
    "scheduled": {"confirmed", "in_progress", *ENDED, "cancelled"},
    "confirmed": {"scheduled", "in_progress", *ENDED, "cancelled"},
    "in_progress": {*ENDED, "cancelled"},
    "completed": {"no_show"},
    "no_show": {"completed"},
    "cancelled": set(),
}


# A session that waits.


@pytest.mark.parametrize("status", [*LIVE, *ENDED])
def test_a_person_cannot_approve_by_writing_the_status(
    db: Connection,
    therapist: Person,
    client: Person,
    pending: Row,
    refused: Refused,
    status: str,
) -> None:
    give_credits(db, client)

    for person, role in [
        (client, "authenticated"),
        (therapist, "authenticated"),
        (client, "anon"),
    ]:
        with refused(403, "AUTHORIZATION_ERROR") as refusal:
            write(db, person, pending, role, status=status)
        message = "A session that needs approval is changed with its own functions only"
        assert (refusal.message, refusal.details) == (message, None)

    assert row(db, "sessions", pending["id"])["status"] == "pending_approval"


@pytest.mark.parametrize("between", ["waiting_list", None])
def test_a_person_cannot_avoid_approval_with_another_status(
    db: Connection, client: Person, pending: Row, refused: Refused, between: str | None
) -> None:
    db.execute("alter table public.sessions drop constraint sessions_status_check")
    db.execute("alter table public.sessions alter column status drop not null")

    with refused(403, "AUTHORIZATION_ERROR"):
        write(db, client, pending, status=between)


@pytest.mark.parametrize("requires_approval", [False, None])
def test_the_guards_ignore_a_session_without_approval_or_status(
    db: Connection, therapist: Person, pending: Row, requires_approval: bool | None
) -> None:
    db.execute(
        "alter table public.sessions alter column status drop not null,"
        " alter column requires_approval drop not null"
    )
    change(db, "sessions", pending["id"], requires_approval=requires_approval, status=None)

    for status in ("scheduled", None):
        write(db, therapist, pending, status=status)

        assert row(db, "sessions", pending["id"])["status"] == status


def test_a_person_cannot_switch_off_the_need_for_approval(
    db: Connection, client: Person, pending: Row, refused: Refused
) -> None:
    for columns in (
        {"requires_approval": False},
        {"requires_approval": False, "status": "scheduled"},
    ):
        with refused(403, "AUTHORIZATION_ERROR"):
            write(db, client, pending, **columns)


def test_a_waiting_session_of_the_old_code_is_also_guarded(
    db: Connection, client: Person, pending: Row, refused: Refused
) -> None:
    change(db, "sessions", pending["id"], requires_approval=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        write(db, client, pending, status="scheduled")


@pytest.mark.parametrize(
    "columns",
    [
        {"id": ANOTHER},
        {"start_time": "tomorrow 09:00+00"},
        {"end_time": "tomorrow 20:00+00"},
        {"duration_minutes": 480},
        {"duration_minutes": None},
        {"is_instant": True},
        {"created_by": ANOTHER},
        {"approval_expires_at": "2030-01-01"},
        {"approval_expires_at": None},
        {"approved_at": "now"},
        {"credit_lot_id": ANOTHER},
        {"request_key": "k-1"},
    ],
    ids=str,
)
def test_a_person_cannot_write_the_protected_columns_of_a_waiting_session(
    db: Connection,
    therapist: Person,
    client: Person,
    pending: Row,
    refused: Refused,
    columns: dict[str, Any],
) -> None:
    for person in (client, therapist):
        with refused(403, "AUTHORIZATION_ERROR"):
            write(db, person, pending, **columns)


@pytest.mark.parametrize("column", ["user_id", "therapist_id"])
@pytest.mark.parametrize("state", ["pending", "approved"])
def test_a_person_cannot_give_a_session_to_another_person(
    db: Connection,
    request: pytest.FixtureRequest,
    therapist: Person,
    client: Person,
    refused: Refused,
    column: str,
    state: str,
) -> None:
    session = request.getfixturevalue(state)
    other = add_person(db, "therapist" if column == "therapist_id" else "individual")

    for person in (client, therapist, other):
        with refused(403, "AUTHORIZATION_ERROR"):
            write(db, person, session, **{column: other.id})


def test_a_person_can_write_the_texts_of_a_waiting_session(
    db: Connection, therapist: Person, pending: Row
) -> None:
    write(db, therapist, pending, title="Another name", notes="New notes", description="More")

    assert row(db, "sessions", pending["id"])["title"] == "Another name"


def test_screens_that_cancel_by_writing_the_status_still_work(
    db: Connection, client: Person, therapist: Person, pending: Row, approved: Row
) -> None:
    write(db, therapist, pending, status="cancelled", cancellation_reason="Ill")
    write(db, client, approved, status="cancelled")

    assert events(db, pending)[-1]["to_status"] == "cancelled"
    assert events(db, approved)[-1]["actor_id"] == client.id
    assert balances(db, client) == [2]


# A session that is approved, or over.


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "pending_approval"},
        {"requires_approval": False},
        {"credit_lot_id": None},
        {"credit_lot_id": ANOTHER},
        {"approved_at": None},
        {"approval_expires_at": None},
        {"created_by": None},
        {"is_instant": True},
    ],
    ids=str,
)
def test_a_person_cannot_change_the_record_of_an_approval(
    db: Connection,
    therapist: Person,
    client: Person,
    approved: Row,
    refused: Refused,
    columns: dict[str, Any],
) -> None:
    for person in (client, therapist):
        with refused(403, "AUTHORIZATION_ERROR"):
            write(db, person, approved, **columns)


def test_only_the_therapist_can_move_a_paid_session_to_where_cancelling_is_free(
    db: Connection,
    therapist: Person,
    client: Person,
    stranger: Person,
    approved: Row,
    refused: Refused,
) -> None:
    later = {"start_time": "tomorrow 10:00+00", "end_time": "tomorrow 10:30+00"}

    for person in (client, stranger, add_person(db, "therapist")):
        with refused(403, "AUTHORIZATION_ERROR"):
            write(db, person, approved, **later)
    with refused(403, "AUTHORIZATION_ERROR"):
        write(db, None, approved, "anon", **later)

    write(db, therapist, approved, **later)
    assert events(db, approved)[-1]["to_status"] == "scheduled"


@pytest.mark.parametrize("before", ["cancelled", *ENDED])
@pytest.mark.parametrize("after", LIVE)
def test_a_person_cannot_revive_an_ended_session_by_writing_the_status(
    db: Connection,
    therapist: Person,
    client: Person,
    approved: Row,
    refused: Refused,
    before: str,
    after: str,
) -> None:
    change(db, "sessions", approved["id"], status=before)

    for person in (client, therapist):
        with refused(403, "AUTHORIZATION_ERROR"):
            write(db, person, approved, status=after)


def test_a_person_cannot_mark_a_cancelled_session_as_held(
    db: Connection, client: Person, therapist: Person, approved: Row, refused: Refused
) -> None:
    call(db, therapist, "cancel_session", p_session_id=approved["id"])

    for status in ENDED:
        for person in (client, therapist):
            with refused(403, "AUTHORIZATION_ERROR"):
                write(db, person, approved, status=status)


def test_screens_that_write_the_progress_of_an_approved_session_still_work(
    db: Connection, therapist: Person, approved: Row
) -> None:
    for status in ("confirmed", "in_progress", "completed", "no_show", "completed"):
        write(db, therapist, approved, status=status)

    assert row(db, "sessions", approved["id"])["status"] == "completed"


@pytest.mark.parametrize("before", WRITABLE)
def test_the_table_of_transitions_says_what_people_may_write(
    db: Connection, therapist: Person, approved: Row, refused: Refused, before: str
) -> None:
    allowed = {
        row["to_status"]
        for row in db.execute(
            "select t.to_status from session_approval.transitions t"
            " where t.from_status = %s and t.direct_write_allowed",
            (before,),
        )
    }
    assert allowed == WRITABLE[before]

    for after in WRITABLE.keys() - {before}:
        change(db, "sessions", approved["id"], status=before)
        if after in allowed:
            write(db, therapist, approved, status=after)
        else:
            with refused(403, "AUTHORIZATION_ERROR"):
                write(db, therapist, approved, status=after)


# New sessions, and sessions of the old code.


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "pending_approval"},
        {"status": "scheduled", "requires_approval": True},
        {"status": "pending_approval", "requires_approval": True},
    ],
    ids=str,
)
def test_a_person_cannot_insert_a_session_that_needs_approval(
    db: Connection,
    therapist: Person,
    client: Person,
    refused: Refused,
    columns: dict[str, Any],
) -> None:
    for person, role in [
        (client, "authenticated"),
        (therapist, "authenticated"),
        (therapist, "anon"),
    ]:
        with refused(403, "AUTHORIZATION_ERROR") as refusal, act_as(db, person, role):
            insert_session(db, therapist, client, **columns)
        assert refusal.message == (
            "A session that needs approval is proposed with create_custom_session"
        )


def insert_session(db: Connection, therapist: Person, client: Person, **columns: Any) -> UUID:
    """Insert a session as the old code does."""
    values = {
        "user_id": client.id,
        "therapist_id": therapist.id,
        "start_time": "tomorrow 10:00+00",
        "end_time": "tomorrow 10:30+00",
        **columns,
    }
    names = ", ".join(values)
    slots = ", ".join(f"%({name})s" for name in values)
    [session] = db.execute(
        f"insert into public.sessions ({names}) values ({slots}) returning id", values
    ).fetchall()
    session_id: UUID = session["id"]
    return session_id


def test_a_person_can_write_sessions_of_the_old_code_as_before(
    db: Connection, therapist: Person, client: Person
) -> None:
    with act_as(db, client):
        session_id = insert_session(db, therapist, client)
        for columns in (
            {"status": "cancelled"},
            {"status": "scheduled", "start_time": "tomorrow 09:00+00"},
            {"therapist_id": add_person(db, "therapist").id},
            {"status": "completed", "duration_minutes": 90},
        ):
            change(db, "sessions", session_id, **columns)
        db.execute("delete from public.sessions where id = %s", (session_id,))


def test_a_person_cannot_make_a_session_of_the_old_code_need_approval(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = {"id": insert_session(db, therapist, client)}

    for columns in ({"requires_approval": True}, {"status": "pending_approval"}):
        with refused(403, "AUTHORIZATION_ERROR"):
            write(db, client, session, **columns)


@pytest.mark.parametrize("columns", [{"approved_at": "now"}, {"credit_lot_id": ANOTHER}], ids=str)
def test_a_person_cannot_mark_a_session_of_the_old_code_as_paid(
    db: Connection, therapist: Person, client: Person, refused: Refused, columns: dict[str, Any]
) -> None:
    session = {"id": insert_session(db, therapist, client)}

    for person in (client, therapist):
        with refused(403, "AUTHORIZATION_ERROR"):
            write(db, person, session, **columns)
        with refused(403, "AUTHORIZATION_ERROR"), act_as(db, person):
            insert_session(db, therapist, client, **columns)


# Credits.


@pytest.mark.parametrize(
    "statement",
    [
        "update public.user_credits set credits_balance = credits_balance + 1 where id = %(lot)s",
        "update public.user_credits set credits_balance = 0 where id = %(lot)s",
        "update public.user_credits set expires_at = null where id = %(lot)s",
        "update public.user_credits set user_id = %(stranger)s where id = %(lot)s",
        "update public.user_credits set credits_balance = 1 where false",
        "delete from public.user_credits where id = %(lot)s",
        "insert into public.user_credits (user_id, credits_balance) values (%(client)s, 9)",
        "insert into public.user_credits (id, user_id, credits_balance)"
        " values (%(lot)s, %(client)s, 9)"
        " on conflict (id) do update set credits_balance = excluded.credits_balance",
        "merge into public.user_credits l using (values (1)) v on l.id = %(lot)s"
        " when matched then update set credits_balance = 9",
        "truncate public.user_credits",
        "truncate public.users cascade",
    ],
)
def test_a_person_cannot_write_credits(
    db: Connection, client: Person, stranger: Person, refused: Refused, statement: str
) -> None:
    lot = give_credits(db, client, 2)
    before = contents(db)

    for role in ("authenticated", "anon"):
        with refused(403, "AUTHORIZATION_ERROR") as refusal, act_as(db, client, role):
            db.execute(statement, {"lot": lot, "client": client.id, "stranger": stranger.id})
        assert refusal.message == "Credits are changed by the server only"

    assert contents(db) == before


def test_approving_works_with_the_guards(db: Connection, client: Person, approved: Row) -> None:
    assert balances(db, client) == [2]
    assert approved["status"] == "scheduled"


# Roles of the application's own.


@pytest.fixture
def coach(db: Connection) -> str:
    """A role that inherits authenticated: what a project's tokens may say in their claim "role"."""
    name = f"coach_{uuid4().hex[:8]}"
    db.execute(sql.SQL("create role {} inherit").format(sql.Identifier(name)))
    db.execute(sql.SQL("grant authenticated to {}").format(sql.Identifier(name)))
    return name


def test_the_guards_stop_a_role_that_inherits_authenticated(
    db: Connection, client: Person, therapist: Person, pending: Row, coach: str, refused: Refused
) -> None:
    lot = give_credits(db, client, 2)

    with refused(403, "AUTHORIZATION_ERROR"):
        write(db, client, pending, coach, status="scheduled")
    with refused(403, "AUTHORIZATION_ERROR"), act_as(db, client, coach):
        insert_session(db, therapist, client, status="pending_approval")
    with refused(403, "AUTHORIZATION_ERROR"), act_as(db, client, coach):
        change(db, "user_credits", lot, credits_balance=9)
    with refused(403, "AUTHORIZATION_ERROR"), act_as(db, client, coach):
        db.execute("truncate public.user_credits")
    [approved] = call_as(
        *(db, coach, client, "approve_session_and_deduct_credit"), p_session_id=pending["id"]
    )

    assert approved["status"] == "scheduled"
    assert balances(db, client) == [1]


@pytest.mark.parametrize("beside", ["service_role", "the owner"])
def test_the_guards_do_not_stop_a_role_that_also_inherits_the_server_or_the_owner(
    db: Connection, client: Person, pending: Row, coach: str, beside: str
) -> None:
    owner = f"owner_{uuid4().hex[:8]}"
    if beside == "the owner":
        db.execute(sql.SQL("create role {}").format(sql.Identifier(owner)))
        db.execute(sql.SQL("grant create on schema public to {}").format(sql.Identifier(owner)))
        for table in ("sessions", "user_credits"):
            db.execute(
                sql.SQL("alter table public.{} owner to {}").format(
                    sql.Identifier(table), sql.Identifier(owner)
                )
            )
        # Make the guard again, as an install by that owner does.
        file = object_file("guard_session").read_text()
        db.execute(sql.SQL(file))  # type: ignore[arg-type]
    else:
        owner = beside
    db.execute(sql.SQL("grant {} to {}").format(sql.Identifier(owner), sql.Identifier(coach)))
    lot = give_credits(db, client, 2)

    with act_as(db, None, coach):
        change(db, "sessions", pending["id"], status="scheduled")
        change(db, "user_credits", lot, credits_balance=7)

    assert balances(db, client) == [7]


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_the_guards_stop_anon_and_authenticated_even_if_they_inherit_the_server(
    db: Connection, client: Person, pending: Row, role: str, refused: Refused
) -> None:
    lot = give_credits(db, client, 2)
    db.execute(sql.SQL("grant service_role to {}").format(sql.Identifier(role)))

    with refused(403, "AUTHORIZATION_ERROR"):
        write(db, client, pending, role, status="scheduled")
    with refused(403, "AUTHORIZATION_ERROR"), act_as(db, client, role):
        change(db, "user_credits", lot, credits_balance=9)


# The server and the owner.


@pytest.mark.parametrize("role", ["service_role", "postgres"])
def test_the_server_and_the_owner_can_write_and_their_changes_are_recorded(
    db: Connection, therapist: Person, client: Person, pending: Row, role: str
) -> None:
    lot = give_credits(db, client, 2)

    with act_as(db, None, role):
        change(db, "sessions", pending["id"], status="scheduled", start_time="today")
        change(db, "user_credits", lot, credits_balance=7)
        insert_session(
            db,
            therapist,
            client,
            status="pending_approval",
            requires_approval=True,
            start_time="tomorrow 12:00+00",
            end_time="tomorrow 12:30+00",
        )

    latest = events(db, pending)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("pending_approval", "scheduled")
    assert latest["actor_id"] is None
    entry = ledger(db, client)[-1]
    assert (entry["kind"], entry["delta"], entry["balance_after"]) == ("external", 5, 7)
    assert (entry["source"], entry["actor_id"]) == (role, None)


def test_a_change_by_a_function_of_the_application_is_recorded_with_its_caller(
    db: Connection, client: Person
) -> None:
    lot = give_credits(db, client, 2)
    db.execute(
        "create function public.buy_credit(p_lot uuid) returns void language sql security definer"
        " as 'update public.user_credits set credits_balance = credits_balance + 1"
        " where id = p_lot'"
    )

    with act_as(db, client):
        db.execute("select public.buy_credit(%s)", (lot,))

    entry = ledger(db, client)[-1]
    assert (entry["kind"], entry["delta"], entry["actor_id"]) == ("external", 1, client.id)
    assert entry["source"] == "authenticated"


# Names.


def test_our_functions_do_not_use_objects_of_the_same_name_in_other_schemas(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 3)
    db.execute("create schema decoy")
    for table in ("users", "sessions", "user_credits", "people", "settings", "credit_ledger"):
        db.execute(f"create table decoy.{table} (like public.sessions)")
        db.execute(f"create temporary table {table} (like public.sessions)")
    for signature in (
        "now() returns timestamptz",
        "uid() returns uuid",
        "set_config(text, text, boolean) returns text",
        "current_setting(text, boolean) returns text",
        "gen_random_uuid() returns uuid",
        "btrim(text) returns text",
        "refuse(integer, text, text, jsonb) returns void",
        "prove_caller(uuid) returns uuid",
        "approve_session_and_deduct_credit(uuid, uuid) returns uuid",
        "is_same(uuid, uuid) returns boolean",
        "is_later(timestamptz, timestamptz) returns boolean",
        "is_at_least(integer, integer) returns boolean",
    ):
        db.execute(
            f"create function decoy.{signature} language plpgsql"
            " as 'begin raise exception ''a decoy was called''; end'"
        )
    for name, function, type_name in (
        ("=", "is_same", "uuid"),
        ("<=", "is_later", "timestamptz"),
        (">=", "is_at_least", "integer"),
    ):
        db.execute(
            f"create operator decoy.{name} (function = decoy.{function},"
            f" leftarg = {type_name}, rightarg = {type_name})"
        )
    for signature in ("now() returns timestamptz", "gen_random_uuid() returns uuid"):
        for schema in ("public", "pg_temp"):
            db.execute(
                f"create function {schema}.{signature} language plpgsql"
                " as 'begin raise exception ''a decoy was called''; end'"
            )
    db.execute("grant all on schema decoy to authenticated")
    db.execute("grant all on all tables in schema decoy to authenticated")
    db.execute("set local search_path = decoy, pg_temp, public, pg_catalog")

    session = propose(db, therapist, client, p_is_instant=True, p_title="x")
    approve(db, client, session)
    call(db, client, "join_session", p_session_id=session["id"])
    other = approve(db, client, propose(db, therapist, client))
    [cancelled] = call(db, therapist, "cancel_session", p_session_id=other["id"])
    for function in ("list_sessions", "list_pending_sessions", "get_credits"):
        call(db, client, function)

    db.execute("set local search_path = public")
    assert cancelled["beside"]["refunded"] is True
    assert balances(db, client) == [2]
    assert [entry["kind"] for entry in ledger(db, client)] == [
        "external",
        "approval",
        "approval",
        "refund",
    ]


def test_a_decoy_on_the_search_path_is_used_by_an_unqualified_call(db: Connection) -> None:
    db.execute("create schema decoy")
    db.execute("create function decoy.now() returns integer language sql as 'select 1'")
    db.execute("set local search_path = decoy, pg_catalog")

    [found] = db.execute("select now() as answer").fetchall()

    assert found["answer"] == 1


def test_a_role_without_the_right_to_temporary_objects_cannot_replace_a_type(
    db: Connection, client: Person, pending: Row
) -> None:
    make = "create domain pg_temp.uuid as pg_catalog.uuid check (false)"
    give_credits(db, client)
    with pytest.raises(psycopg.errors.CheckViolation), act_as(db, client):
        db.execute(f"{make}; select public.get_credits()")  # the gap that docs/install.md tells of
    [database] = db.execute("select current_database() as name").fetchall()
    db.execute(
        sql.SQL("revoke temporary on database {} from public").format(
            sql.Identifier(database["name"])
        )
    )

    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction(), act_as(db, client):
        db.execute(make)

    assert approve(db, client, pending)["status"] == "scheduled"
