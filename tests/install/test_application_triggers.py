"""The application's own triggers on sessions and user_credits work when our functions write."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests import actors
from tests.actors import Connection, Person, add_person, approve, call, give_credits, propose, row

# What applications have in their trigger functions: names without a schema, and the time zone.
LOOK_UP = """
    if (select count(*) from users u where u.id = new.user_id) <> 1 then
      raise exception 'no such user';
    end if;
"""
CALL = "new.updated_at := stamp();"
AUDIT = "insert into audit (what, who) values (tg_op || ' ' || new.status, auth.uid());"
RAISE_AND_CATCH = """
    begin
      insert into missing_table values (1);
    exception
      when undefined_table then insert into audit (what) values ('caught');
    end;
"""
LOCAL_TIME = """
    new.start_time := (new.scheduled_date + new.scheduled_time)::timestamptz;
    new.end_time := new.start_time + make_interval(mins => new.duration_minutes);
"""
CLOCK_TIME = "new.scheduled_time := new.start_time::time;"


@pytest.fixture
def lagos(own_database: str) -> Iterator[Connection]:
    """A connection to a database whose own time zone is Lagos, with an application's objects."""
    with actors.connect(own_database) as owner:
        owner.execute(
            sql.SQL("alter database {} set timezone = 'Africa/Lagos'").format(
                sql.Identifier(owner.info.dbname)
            )
        )
    with actors.connect(own_database) as db:
        db.execute(
            "create table public.audit (id serial, what text, who uuid);"
            " alter table public.sessions add column updated_at timestamptz;"
            " create function public.stamp() returns timestamptz language sql as 'select now()'"
        )
        yield db


def add_trigger(db: Connection, body: str, *, when: str = "before", options: str = "") -> None:
    """Add a trigger of the application's, whose function has no settings of its own."""
    db.execute(
        f"create or replace function public.theirs() returns trigger language plpgsql {options}"
        f" as $$ begin {body} return new; end $$;"
        f" create or replace trigger theirs {when} insert or update on public.sessions"
        " for each row execute function public.theirs()"
    )


def people(db: Connection) -> tuple[Person, Person]:
    """Return a therapist, and a client with two credits."""
    therapist, client = add_person(db, "therapist"), add_person(db, "individual")
    give_credits(db, client, 2)
    return therapist, client


def live(db: Connection) -> actors.Row:
    """Live a story: a session is proposed for ten o'clock in Lagos, approved and cancelled."""
    therapist, client = people(db)
    session = propose(
        db,
        therapist,
        client,
        p_session_date="2031-05-06",
        p_session_time="10:00",
        p_time_zone="Africa/Lagos",
    )
    approved = approve(db, client, session)
    assert approved["status"] == "scheduled"
    assert approved["start_time"].isoformat() == "2031-05-06T10:00:00+01:00"
    [cancelled] = call(db, client, "cancel_session", p_session_id=session["id"])
    assert cancelled["beside"]["refunded"] is True
    assert actors.balances(db, client) == [2]
    return row(db, "sessions", session["id"])


@pytest.mark.parametrize("options", ["", "security definer"])
@pytest.mark.parametrize(
    "body", [LOOK_UP, CALL, RAISE_AND_CATCH, LOCAL_TIME, CLOCK_TIME], ids=lambda body: body[:20]
)
def test_a_trigger_that_names_no_schema_works_in_our_functions(
    lagos: Connection, body: str, options: str
) -> None:
    add_trigger(lagos, body, options=options)

    session = live(lagos)

    assert session["scheduled_time"].isoformat() == "10:00:00"
    assert lagos.execute("select from public.audit").rowcount == (3 if "caught" in body else 0)


@pytest.mark.parametrize("zone", ["UTC", "Africa/Lagos", "new.time_zone"])
def test_a_trigger_that_names_a_time_zone_works_in_our_functions(
    lagos: Connection, zone: str
) -> None:
    zone = zone if "." in zone else f"'{zone}'"
    add_trigger(lagos, f"new.updated_at := new.start_time at time zone {zone} at time zone {zone};")

    session = live(lagos)

    assert session["updated_at"] == session["start_time"]


def test_a_trigger_that_writes_an_audit_row_knows_who_acts(lagos: Connection) -> None:
    add_trigger(lagos, AUDIT, when="after")

    session = live(lagos)

    rows = lagos.execute("select what, who from public.audit order by id").fetchall()
    assert [entry["what"] for entry in rows] == [
        "INSERT pending_approval",
        "UPDATE scheduled",
        "UPDATE cancelled",
    ]
    assert [entry["who"] for entry in rows] == [
        session["therapist_id"],
        session["user_id"],
        session["user_id"],
    ]


def test_a_trigger_that_raises_undoes_the_approval(lagos: Connection) -> None:
    therapist, client = people(lagos)
    session = propose(lagos, therapist, client)
    add_trigger(lagos, "if new.status = 'scheduled' then raise exception 'closed'; end if;")

    with pytest.raises(psycopg.errors.RaiseException, match="closed"):
        approve(lagos, client, session)

    assert actors.balances(lagos, client) == [2]
    assert row(lagos, "sessions", session["id"])["status"] == "pending_approval"


def test_a_trigger_on_credits_works_in_our_functions(lagos: Connection) -> None:
    lagos.execute(
        "create function public.credits_changed() returns trigger language plpgsql as $$ begin"
        " insert into audit (what) select 'credits of ' || u.email from users u"
        " where u.id = new.user_id; return new; end $$;"
        " create trigger credits_changed after update on public.user_credits"
        " for each row execute function public.credits_changed()"
    )

    live(lagos)

    assert lagos.execute("select from public.audit where what like 'credits of %'").rowcount == 2


def test_a_statement_trigger_of_the_application_works_in_our_functions(lagos: Connection) -> None:
    lagos.execute(
        "create function public.told() returns trigger language plpgsql as $$ begin"
        " insert into audit (what) values (tg_when || current_setting('timezone')); return null;"
        " end $$;"
        " create trigger a_first before insert on public.sessions"
        " for each statement execute function public.told();"
        " create trigger z_last after insert on public.sessions"
        " for each statement execute function public.told()"
    )

    live(lagos)

    rows = lagos.execute("select what from public.audit order by id").fetchall()
    assert [entry["what"] for entry in rows] == ["BEFOREAfrica/Lagos", "AFTERAfrica/Lagos"]


def test_a_trigger_that_writes_sessions_itself_works_in_our_functions(lagos: Connection) -> None:
    lagos.execute(
        "create function public.touch() returns trigger language plpgsql as $$ begin"
        " update sessions set updated_at = stamp() where id = new.id and updated_at is null;"
        " insert into audit (what) values (new.status); return null; end $$;"
        " create trigger touch after insert or update on public.sessions"
        " for each row execute function public.touch()"
    )

    assert live(lagos)["updated_at"] is not None


def test_a_caller_finds_the_settings_unchanged_after_our_functions(lagos: Connection) -> None:
    add_trigger(lagos, AUDIT)
    lagos.execute("set timezone = 'Asia/Kathmandu'; set search_path = public")

    with lagos.transaction():
        therapist, client = people(lagos)
        propose(lagos, therapist, client)
        [settings] = lagos.execute(
            "select current_setting('timezone') as zone, current_setting('search_path') as path,"
            " current_setting('plan_cache_mode') as plans"
        ).fetchall()

    assert settings == {"zone": "Asia/Kathmandu", "path": "public", "plans": "auto"}


def test_a_direct_write_keeps_the_writers_own_settings(lagos: Connection) -> None:
    therapist, client = people(lagos)
    session = propose(lagos, therapist, client)
    add_trigger(lagos, "insert into audit (what) values (current_setting('timezone'));")

    lagos.execute("set timezone = 'Asia/Kathmandu'")
    lagos.execute("update public.sessions set notes = 'n' where id = %s", (session["id"],))

    [entry] = lagos.execute("select what from public.audit").fetchall()
    assert entry["what"] == "Asia/Kathmandu"


def test_a_schema_in_which_others_may_create_is_left_out_of_the_path(lagos: Connection) -> None:
    lagos.execute(
        "create schema open; create schema closed; grant create on schema open to authenticated"
    )
    actors.configure(lagos, application_search_path="open, closed, public, missing")

    [path] = lagos.execute("select session_approval.application_search_path() as path").fetchall()

    assert path["path"] == "closed, public, pg_temp"


def test_what_a_person_creates_cannot_stand_in_for_what_our_functions_name(
    lagos: Connection,
) -> None:
    therapist, client = people(lagos)
    session = propose(lagos, therapist, client)
    lagos.execute("create temp table users (id uuid, email text); grant all on users to public")
    add_trigger(lagos, LOOK_UP)

    assert approve(lagos, client, session)["status"] == "scheduled"


def test_our_triggers_are_the_first_and_the_last_of_their_kind(lagos: Connection) -> None:
    add_trigger(lagos, "null;")
    names = {
        (entry["on_table"], entry["is_before"]): (entry["first"], entry["last"])
        for entry in lagos.execute(
            "select t.tgrelid::regclass::text as on_table, t.tgtype & 2 = 2 as is_before,"
            ' min(t.tgname::text collate "C") as first, max(t.tgname::text collate "C") as last'
            " from pg_trigger t where not t.tgisinternal and t.tgtype & 1 = 0"
            " and t.tgtype & 28 <> 0 and t.tgrelid in ('sessions'::regclass,"
            " 'user_credits'::regclass) group by 1, 2"
        )
    }

    for table in ("sessions", "user_credits"):
        assert names[table, True][0] == "!session_approval_enter"
        assert names[table, False][1] == "~session_approval_leave"
