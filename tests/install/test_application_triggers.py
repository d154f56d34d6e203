"""Triggers of the application's own work inside our functions as when the application writes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from scripts.local.postgres import WHEEL_BIN
from scripts.operate import psql
from tests import actors
from tests.actors import (
    Connection,
    Person,
    Row,
    act_as,
    add_person,
    approve,
    call,
    call_as,
    change,
    configure,
    give_credits,
    propose,
    row,
)
from tests.install.places import ADA, THERAPIST, install, place
from tests.servers import Server

PATH = "public, extensions, pg_temp"
TABLES = ("sessions", "user_credits")


def add_trigger(
    db: Connection,
    body: str,
    when: str = "before insert or update on public.sessions for each row",
    *,
    name: str = "theirs",
    options: str = "",
) -> None:
    """Give the application a trigger of its own, with a function in public."""
    db.execute(
        f"create function public.{name}() returns trigger language plpgsql {options} as $body$"
        f" {body} $body$"
    )
    db.execute(f"create trigger {name} {when} execute function public.{name}()")


def live(db: Connection, therapist: Person, client: Person) -> Row:
    """Live most of the story, and return the session as it is stored in the end."""
    give_credits(db, client, 3)
    session = propose(db, therapist, client)
    approve(db, client, session)
    call(db, therapist, "cancel_session", p_session_id=session["id"])
    expired = propose(db, therapist, client)
    change(db, "sessions", expired["id"], approval_expires_at="now")
    call_as(db, "service_role", None, "sweep_sessions")
    instant = propose(db, therapist, client, p_is_instant=True)
    approve(db, client, instant)
    call(db, client, "join_session", p_session_id=instant["id"])
    call(db, therapist, "finish_session", p_session_id=instant["id"])
    statuses = [row(db, "sessions", s["id"])["status"] for s in (session, expired, instant)]
    assert statuses == ["cancelled", "cancelled", "completed"]
    return row(db, "sessions", session["id"])


@contextmanager
def database_in(zone: str, address: str) -> Iterator[Connection]:
    """Lend a connection to a database whose own time zone is another."""
    name = psycopg.conninfo.conninfo_to_dict(address)["dbname"]
    with actors.connect(address) as owner:
        owner.execute(
            sql.SQL("alter database {} set timezone = {}").format(
                sql.Identifier(str(name)), sql.Literal(zone)
            )
        )
    with actors.connect(address) as db:
        yield db


# What they do.


@pytest.mark.parametrize("table", TABLES)
def test_a_trigger_finds_a_table_that_it_names_without_a_schema(
    db: Connection, therapist: Person, client: Person, table: str
) -> None:
    add_trigger(
        db,
        "declare v_name text; begin select full_name into strict v_name from users"
        " where id = new.user_id; return new; end",
        f"before insert or update on public.{table} for each row",
    )

    live(db, therapist, client)


@pytest.mark.parametrize("table", TABLES)
def test_a_trigger_finds_a_function_that_it_names_without_a_schema(
    db: Connection, therapist: Person, client: Person, table: str
) -> None:
    db.execute(
        "create function public.is_anybody(uuid) returns boolean language sql"
        " as 'select exists (select from users where id = $1)'"
    )
    add_trigger(
        db,
        "begin if not is_anybody(new.user_id) then raise 'nobody'; end if; return new; end",
        f"before insert or update on public.{table} for each row",
    )

    live(db, therapist, client)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("level", ["row", "statement"])
def test_an_audit_trigger_writes_one_row_for_each_change(
    db: Connection, therapist: Person, client: Person, table: str, level: str
) -> None:
    db.execute("create table public.audit (what text, at timestamptz default now())")
    add_trigger(
        db,
        "begin insert into audit (what) values (tg_op); return null; end",
        f"after insert or update on public.{table} for each {level}",
    )

    live(db, therapist, client)

    written = db.execute("select what from public.audit").fetchall()
    # Three sessions are made, and changed seven times; one lot is made, and changed three times.
    expected = {"sessions": 10, "user_credits": 4}[table]
    assert len(written) == expected


def test_a_trigger_can_set_updated_at(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    db.execute("alter table public.sessions add column updated_at timestamptz")
    db.execute("create function public.stamp() returns timestamptz language sql as 'select now()'")
    add_trigger(db, "begin new.updated_at := stamp(); return new; end")

    assert live(db, therapist, client)["updated_at"] == now


@pytest.mark.parametrize(
    ("zone", "expression"),
    [
        ("Africa/Lagos", "(new.scheduled_date + new.scheduled_time)::timestamptz"),
        ("America/New_York", "(new.scheduled_date + new.scheduled_time)::timestamptz"),
        ("UTC", "(new.scheduled_date + new.scheduled_time) at time zone 'UTC'"),
        ("Africa/Lagos", "(new.scheduled_date + new.scheduled_time) at time zone 'Africa/Lagos'"),
    ],
    ids=["in the database's zone", "in another zone of a database", "in UTC", "in Africa/Lagos"],
)
def test_a_trigger_that_computes_the_start_from_date_and_time_stores_the_same_start(
    own_database: str, zone: str, expression: str
) -> None:
    with database_in(zone, own_database) as db:
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client)
        add_trigger(
            db,
            f"begin new.end_time := {expression} + (new.end_time - new.start_time);"
            f" new.start_time := {expression}; return new; end",
        )

        session = propose(
            db,
            therapist,
            client,
            p_session_date="2031-07-01",
            p_session_time="10:00",
            p_time_zone=zone,
        )
        approved = approve(db, client, session)

        [asked] = db.execute(
            "select '2031-07-01 10:00'::timestamp at time zone %s as at", (zone,)
        ).fetchall()
        assert session["start_time"] == approved["start_time"] == asked["at"]
        assert row(db, "sessions", session["id"])["start_time"] == asked["at"]


def test_a_trigger_that_computes_the_time_from_the_start_stores_the_databases_local_time(
    own_database: str,
) -> None:
    with database_in("Africa/Lagos", own_database) as db:
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client)
        add_trigger(db, "begin new.scheduled_time := new.start_time::time; return new; end")

        session = propose(db, therapist, client, p_start_time="2031-07-01T10:00Z")
        approve(db, client, session)

        assert row(db, "sessions", session["id"])["scheduled_time"].isoformat() == "11:00:00"


def test_a_trigger_that_raises_an_error_stops_the_act_with_its_own_message(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute(
        "create table public.holidays (day date); insert into holidays values ('2031-05-06')"
    )
    add_trigger(
        db,
        "begin if exists (select from holidays where day = new.start_time::date) then"
        " raise exception 'closed on holidays'; end if; return new; end",
    )

    with pytest.raises(psycopg.errors.RaiseException, match="closed on holidays"), db.transaction():
        propose(db, therapist, client, p_start_time="2031-05-06T10:00Z")
    propose(db, therapist, client, p_start_time="2031-05-07T10:00Z")


def test_a_security_definer_trigger_works(
    db: Connection, therapist: Person, client: Person
) -> None:
    add_trigger(
        db, "begin perform from users; return new; end", options="security definer", name="definer"
    )

    live(db, therapist, client)


def test_a_trigger_reads_the_signed_in_person_from_the_token(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    db.execute("alter table public.sessions add column changed_by uuid")
    add_trigger(db, "begin new.changed_by := auth.uid(); return new; end")

    session = propose(db, therapist, client)
    assert row(db, "sessions", session["id"])["changed_by"] == therapist.id
    approve(db, client, session)
    assert row(db, "sessions", session["id"])["changed_by"] == client.id


def test_a_trigger_that_catches_its_own_error_goes_on(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute("create table public.audit (what text)")
    add_trigger(
        db,
        "begin begin insert into audit values ('lost'); raise 'no'; exception when others then"
        " insert into audit values ('kept'); end; return new; end",
    )

    live(db, therapist, client)

    assert {found["what"] for found in db.execute("select what from public.audit")} == {"kept"}


# What they find, and what we find afterwards.

SEEN = (
    "begin insert into public.seen values (tg_table_name || ' ' || tg_when || ' ' || tg_level,"
    " current_setting('search_path'), current_setting('timezone'),"
    " current_setting('plan_cache_mode')); return coalesce(new, old); end"
)


def watch(db: Connection) -> None:
    """Have triggers of every kind write down the settings that they find."""
    db.execute("create table public.seen (who text, path text, zone text, plans text)")
    db.execute(f"create function public.see() returns trigger language plpgsql as $$ {SEEN} $$")
    for table in TABLES:
        for when in ("before", "after"):
            for level in ("row", "statement"):
                db.execute(
                    f"create trigger see_{when}_{level} {when} insert or update or delete"
                    f" on public.{table} for each {level} execute function public.see()"
                )


def seen(db: Connection) -> set[tuple[str, str, str]]:
    """Return the settings that the triggers found."""
    found = db.execute("select distinct path, zone, plans from public.seen").fetchall()
    assert found
    return {(settings["path"], settings["zone"], settings["plans"]) for settings in found}


def test_triggers_of_every_kind_find_the_applications_settings_in_every_act(
    own_database: str,
) -> None:
    with database_in("Africa/Lagos", own_database) as db:
        watch(db)
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        db.execute("set search_path = public, extensions, pg_temp")

        live(db, therapist, client)

        assert seen(db) == {(PATH, "Africa/Lagos", "auto")}
        kinds = db.execute("select distinct who from public.seen").fetchall()
        assert len(kinds) == 8


def test_every_act_leaves_the_settings_of_the_connection_unchanged(
    own_database: str,
) -> None:
    ask = (
        "select current_setting('search_path') as path, current_setting('timezone') as zone,"
        " current_setting('plan_cache_mode') as plans"
    )
    with database_in("Africa/Lagos", own_database) as db:
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        with db.transaction():
            db.execute(
                "set local search_path = extensions; set local timezone = 'Asia/Tokyo';"
                " set local plan_cache_mode = force_custom_plan"
            )
            before = db.execute(ask).fetchall()
            live(db, therapist, client)
            assert db.execute(ask).fetchall() == before


def test_our_function_keeps_its_own_settings_after_a_trigger(
    db: Connection, therapist: Person, client: Person
) -> None:
    # Asked by the cancellation after its statements.
    db.execute(
        "create or replace function session_approval.room_to_remove(p_session_id uuid)"
        " returns jsonb language sql stable as $$ select jsonb_build_object('path',"
        " current_setting('search_path'), 'zone', current_setting('timezone')) $$"
    )
    give_credits(db, client)
    session = approve(db, client, propose(db, therapist, client))

    [cancelled] = call(db, client, "cancel_session", p_session_id=session["id"])

    assert cancelled["beside"]["room"] == {"path": "", "zone": "UTC"}


def test_a_trigger_that_sets_a_search_path_does_not_change_ours(
    db: Connection, therapist: Person, client: Person
) -> None:
    watch(db)
    add_trigger(
        db,
        "begin perform set_config('search_path', 'nowhere', true); return null; end",
        "after insert or update on public.user_credits for each row",
        name="zz_leaves",
    )
    give_credits(db, client)
    session = propose(db, therapist, client)
    db.execute("delete from public.seen")

    approve(db, client, session)

    paths = "select distinct path from public.seen where who like 'sessions%'"
    assert db.execute(paths).fetchall() == [{"path": PATH}]


def test_a_trigger_that_writes_to_the_same_tables_keeps_the_applications_path(
    db: Connection, therapist: Person, client: Person
) -> None:
    add_trigger(
        db,
        "begin if new.title is distinct from 'Marked' then"
        " update sessions set title = 'Marked' where id = new.id;"
        " update user_credits set user_type = user_type where user_id = new.user_id; end if;"
        " perform from users; return null; end",
        "after insert or update on public.sessions for each row",
    )
    watch(db)

    assert live(db, therapist, client)["title"] == "Marked"

    in_ours = "select distinct path from public.seen where path <> '\"$user\", public'"
    assert db.execute(in_ours).fetchall() == [{"path": PATH}]


def test_a_statement_in_our_own_trigger_switches_the_settings_too(
    db: Connection, therapist: Person, client: Person
) -> None:
    add_trigger(db, "begin perform from users; return new; end")
    waiting = propose(db, therapist, client)
    change(db, "sessions", waiting["id"], approval_expires_at="now")

    # Taking its time, the calendar's trigger puts the waiting one away.
    session = propose(db, therapist, client, p_start_time=waiting["start_time"])

    assert row(db, "sessions", waiting["id"])["cancellation_reason"] == "expired"
    assert session["status"] == "pending_approval"


def test_an_insert_that_conflicts_keeps_the_settings_right(
    db: Connection, therapist: Person, client: Person
) -> None:
    watch(db)
    key = {"p_request_key": "once", "p_start_time": "2031-05-06T10:00Z"}

    first = propose(db, therapist, client, **key)
    db.execute("delete from public.seen")
    again = propose(db, therapist, client, **key)

    assert again["id"] == first["id"]
    assert {path for path, _, _ in seen(db)} == {PATH}


def test_a_statement_that_an_exception_block_undoes_also_undoes_the_switch(
    db: Connection, client: Person
) -> None:
    db.execute("alter table public.user_credits add check (user_type <> 'individual')")
    watch(db)
    payment = {"p_user_id": client.id, "p_amount": 1, "p_source": "s", "p_reference": "r"}

    # The first kind of client is refused by the check; the second is tried under the same settings.
    call_as(db, "service_role", None, "grant_credits", **payment)

    assert {path for path, _, _ in seen(db)} == {PATH}
    [lot] = db.execute(
        "select user_type from public.user_credits where user_id = %s", (client.id,)
    ).fetchall()
    assert lot["user_type"] == "user"


# Who else writes.


def test_a_statement_of_the_application_keeps_its_own_settings(
    db: Connection, client: Person
) -> None:
    watch(db)
    db.execute("set local search_path = public; set local timezone = 'Asia/Tokyo'")

    lot = give_credits(db, client)
    change(db, "user_credits", lot, credits_balance=7)

    assert seen(db) == {("public", "Asia/Tokyo", "auto")}


def test_a_person_who_writes_under_an_empty_search_path_is_left_alone(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute("grant all on public.sessions to authenticated")
    db.execute('create policy "Anything goes" on public.sessions using (true) with check (true)')
    watch(db)
    db.execute("grant insert on public.seen to authenticated")

    with act_as(db, client):
        db.execute("set local search_path = ''")
        db.execute(
            "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
            " values (%s, %s, 'tomorrow 10:00', 'tomorrow 11:00')",
            (client.id, therapist.id),
        )

    assert {path for path, _, _ in seen(db)} == {'""'}


# Which schemas are on the path.


def path_now(db: Connection, therapist: Person, client: Person) -> str:
    """Return the search_path that a trigger of the application's finds in an act of ours."""
    with db.transaction(force_rollback=True):
        watch(db)
        propose(db, therapist, client)
        [(path, _, _)] = seen(db)
    return path


@pytest.fixture
def mallory(db: Connection) -> str:
    """A role of the database's own, which nobody trusts."""
    name = f"mallory_{uuid4().hex[:8]}"
    db.execute(f"create role {name} nologin")
    return name


def test_a_schema_in_which_another_role_can_create_is_left_out_at_once(
    db: Connection, therapist: Person, client: Person, mallory: str
) -> None:
    assert path_now(db, therapist, client) == PATH

    db.execute(f"grant create on schema public to {mallory}")
    assert path_now(db, therapist, client) == "extensions, pg_temp"
    db.execute("grant create on schema extensions to public")
    assert path_now(db, therapist, client) == "pg_temp"

    db.execute(f"revoke create on schema public from {mallory}")
    call_as(db, "service_role", None, "sweep_sessions")
    assert path_now(db, therapist, client) == "public, pg_temp"


def test_an_operator_that_another_role_made_is_not_called_by_a_trigger_inside_our_functions(
    db: Connection, therapist: Person, client: Person, mallory: str
) -> None:
    db.execute("create table public.called (as_role text)")
    db.execute("create table public.words (word varchar); insert into words values ('a')")
    db.execute(
        f"grant create on schema public to {mallory}; grant all on public.called to {mallory}"
    )
    with act_as(db, None, mallory):
        db.execute(
            "create function public.evil(varchar, varchar) returns boolean language plpgsql as"
            " $$ begin insert into public.called values (current_user); return true; end $$;"
            " create operator public.= (function = public.evil, leftarg = varchar,"
            " rightarg = varchar)"
        )
    add_trigger(
        db,
        "begin perform from public.words w where w.word = w.word; return new; end",
        "before insert on public.sessions for each row",
    )

    propose(db, therapist, client)

    assert db.execute("select from public.called").fetchall() == []


@pytest.mark.parametrize(("can_log_in", "path"), [("nologin", PATH), ("login", "public, pg_temp")])
def test_supabases_dashboard_user_is_trusted_only_if_it_cannot_log_in(
    db: Connection, therapist: Person, client: Person, can_log_in: str, path: str
) -> None:
    db.execute(f"create role dashboard_user {can_log_in}")
    db.execute("grant all on schema extensions to dashboard_user")

    assert path_now(db, therapist, client) == path


def test_our_owner_and_superusers_may_create(
    db: Connection, therapist: Person, client: Person, mallory: str
) -> None:
    db.execute(f"grant create on schema public to {mallory}; alter role {mallory} superuser")

    assert path_now(db, therapist, client) == PATH


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("public", "public, pg_temp"),
        ("extensions,public", "extensions, public, pg_temp"),
        ('public, "Their Own", nowhere', 'public, "Their Own", pg_temp'),
        ('"$user", PUBLIC', "public, pg_temp"),
    ],
)
def test_the_setting_applies_at_once_to_the_schemas_that_exist(
    db: Connection, therapist: Person, client: Person, setting: str, path: str
) -> None:
    db.execute('create schema "Their Own"')

    configure(db, application_search_path=setting)

    assert path_now(db, therapist, client) == path


def test_a_missing_schema_does_no_harm(db: Connection, therapist: Person, client: Person) -> None:
    db.execute("drop schema extensions cascade")

    assert "public" in path_now(db, therapist, client)


def test_a_setting_that_is_not_a_list_of_names_is_refused(db: Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue), db.transaction():
        configure(db, application_search_path="public; drop table")


# Their names.


def test_our_triggers_fire_first_and_last_for_a_statement(
    db: Connection, therapist: Person, client: Person
) -> None:
    watch(db)
    for name in ("A", "0", "_", "zzz", "aaa_first", "~"):
        for when in ("before", "after"):
            db.execute(
                sql.SQL(
                    "create trigger {} {} insert on public.sessions for each statement"
                    " execute function public.see()"
                ).format(sql.Identifier(f"{name}{when}"), sql.SQL(when))
            )

    propose(db, therapist, client)

    assert {path for path, _, _ in seen(db)} == {PATH}


def warnings_of(address: str) -> str:
    """Install, and return what psql said."""
    done = subprocess.run(
        [
            *(WHEEL_BIN / "psql", "-X", "-1", "-q", "-v", "ON_ERROR_STOP=1"),
            *("-d", address, "-f", psql.INSTALL),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


@pytest.mark.parametrize(
    ("name", "when", "is_told"),
    [
        (" early", "before", True),
        ("éternel", "after", True),
        (" early", "after", False),
        ("zzz", "after", False),
    ],
)
def test_the_install_warns_of_a_trigger_that_fires_before_or_after_ours(
    own_database: str, name: str, when: str, is_told: bool
) -> None:
    with actors.connect(own_database) as db:
        add_trigger(
            db,
            "begin return null; end",
            f"{when} insert on public.sessions for each statement",
        )
        db.execute(
            sql.SQL("alter trigger theirs on public.sessions rename to {}").format(
                sql.Identifier(name)
            )
        )

    assert ("sorts outside of ours" in warnings_of(own_database)) == is_told


@pytest.mark.parametrize("has_triggers", [True, False])
def test_the_install_warns_of_a_schema_that_is_left_out_where_there_are_triggers(
    own_database: str, has_triggers: bool
) -> None:
    with actors.connect(own_database) as db:
        db.execute("grant create on schema public to public")
        if has_triggers:
            add_trigger(db, "begin return new; end")

    said = warnings_of(own_database)

    assert ("revoke create on schema public" in said) == has_triggers


# Columns without a time zone.


def test_moments_in_columns_without_a_time_zone_stay_in_utc_in_any_database(
    server: Server,
) -> None:
    with place(server, "older") as old:
        old.execute(
            "alter table public.sessions add approved_at timestamp,"
            " add approval_expires_at timestamp"
        )
        install(old)
        old.execute("update public.user_credits set user_type = 'individual', credits_balance = 9")
        address = old.info.dsn
        with database_in("Africa/Lagos", address) as db:
            session = propose(db, THERAPIST, ADA, p_is_instant=True)
            approve(db, ADA, session)
            call(db, THERAPIST, "cancel_session", p_session_id=session["id"])
            stored = row(db, "sessions", session["id"])

    clock = datetime.now(UTC).replace(tzinfo=None)
    until = stored["approval_expires_at"] - timedelta(minutes=15)
    for moment in (until, stored["approved_at"], stored["cancelled_at"]):
        assert abs(moment - clock) < timedelta(minutes=1)
