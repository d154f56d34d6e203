"""Installing: twice without a difference, and onto what real projects have without any loss."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from scripts import CommandError
from scripts.local.postgres import WHEEL_BIN
from scripts.operate import psql
from scripts.operate.sql_files import object_file
from tests import actors
from tests.actors import (
    Connection,
    Person,
    approve,
    balances,
    call,
    call_as,
    change,
    contents,
    events,
    ledger,
    propose,
    row,
)
from tests.install.places import ADA, BEN, THERAPIST, dump, install, text
from tests.servers import Server
from tests.sessions.test_broadcast_change import REALTIME

APPROVE = "approve_session_and_deduct_credit"

OLD, EARLIER_ATTEMPT, PROFILES = map(text, ("older", "earlier_attempt", "profiles"))

OLD_QUERIES = [
    "select id, user_id, therapist_id, session_type, status, start_time, end_time, duration,"
    " scheduled_date, scheduled_time, session_url, room_name, cancelled_by, cancelled_at,"
    " created_at from public.sessions order by id",
    "select id, status, created_at from public.upcoming order by id",
    "select id, user_id, user_type, credits_balance, created_at from public.user_credits"
    " order by id",
    "select u.full_name, s.status, s.start_time::text from public.sessions s"
    " join public.users u on u.id = s.user_id order by s.start_time",
    "select status, count(*) from public.sessions group by status order by status",
    "select sum(credits_balance) from public.user_credits where user_type = 'individual'",
    "select * from public.users order by id",
]

OLD_WRITES = [
    "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
    " values ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000001',"
    " 'tomorrow 10:00', 'tomorrow 11:00')",
    "insert into public.sessions (user_id, therapist_id, start_time, end_time, status)"
    " values ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000001',"
    " 'tomorrow 10:00', 'tomorrow 11:00', null)",
    "update public.sessions set status = 'rescheduled', end_time = end_time + interval '1 hour'",
    "update public.sessions set status = 'cancelled', cancelled_at = now()",
    "update public.user_credits set credits_balance = credits_balance - 1",
    "insert into public.user_credits (user_id, user_type, credits_balance)"
    " values ('00000000-0000-4000-8000-000000000002', 'individual', 1)"
    " on conflict (user_id, user_type)"
    " do update set credits_balance = user_credits.credits_balance + 1",
    "delete from public.user_credits",
    "delete from public.sessions",
    "truncate public.sessions, public.user_credits",
]


@pytest.fixture
def bare_database(server: Server) -> Iterator[str]:
    """The address of a database with nothing but what Supabase brings."""
    name = f"test_bare_{uuid4().hex[:8]}"
    address = server.create(name, "template0")
    try:
        psql.apply(address, [psql.SUPABASE])
        yield address
    finally:
        server.drop(name)


@pytest.fixture
def old(bare_database: str) -> Iterator[Connection]:
    """A connection to a database of an older project, where nothing of ours is installed yet."""
    with actors.connect(bare_database) as db:
        db.execute(OLD)
        yield db


def schema(db: Connection) -> str:
    """Return all of a database but its rows."""
    return dump(db, "--schema-only")


def answers(db: Connection) -> list[Any]:
    """Return what the application's own queries answer."""
    return [db.execute(query).fetchall() for query in OLD_QUERIES]


def constraints(db: Connection) -> dict[str, str]:
    """Return the constraints of the application's tables, without the one on our own column."""
    found = db.execute(
        "select conname as name, pg_get_constraintdef(oid) as text from pg_constraint"
        " where connamespace = 'public'::regnamespace and contype <> 'n'"
        " and conname <> 'no_show_by_is_known'"
    )
    return {constraint["name"]: constraint["text"] for constraint in found}


# Again.


def test_a_second_install_changes_nothing(own_database: str) -> None:
    with actors.connect(own_database) as db:
        therapist, client = actors.add_person(db, "therapist"), actors.add_person(db, "individual")
        actors.give_credits(db, client, 3)
        approve(db, client, propose(db, therapist, client))
        propose(db, therapist, client)
        actors.configure(db, video_base_url="https://example.daily.co", low_balance=7)
        before = schema(db), contents(db)

        install(db)

        assert (schema(db), contents(db)) == before
        assert "approve_session_and_deduct_credit" in before[0]


def test_a_second_install_onto_an_older_project_changes_nothing(old: Connection) -> None:
    old.execute(EARLIER_ATTEMPT)
    install(old)
    before = schema(old), contents(old)

    install(old)

    assert (schema(old), contents(old)) == before


def test_the_starter_and_the_local_stand_ins_can_be_applied_again_too(own_database: str) -> None:
    with actors.connect(own_database) as db:
        before = schema(db), contents(db)

        psql.apply(own_database, [psql.SUPABASE, psql.STARTER, psql.INSTALL])

        assert (schema(db), contents(db)) == before


def test_a_plain_run_of_psql_says_nothing_is_wrong(own_database: str) -> None:
    result = subprocess.run(
        [
            *(WHEEL_BIN / "psql", "-X", "-1", "-v", "ON_ERROR_STOP=1"),
            *("-d", own_database, "-f", psql.INSTALL),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )

    assert (result.returncode, result.stderr) == (0, "")


# Onto an older project.


def test_an_older_project_keeps_its_rows_and_its_queries(old: Connection) -> None:
    before = answers(old)

    install(old)

    assert answers(old) == before


def test_an_older_project_can_still_run_its_write_statements(old: Connection) -> None:
    install(old)

    for statement in OLD_WRITES:
        for role in ("service_role", "postgres"):
            with old.transaction(force_rollback=True), actors.act_as(old, None, role):
                assert old.execute(statement).statusmessage, statement


def test_people_in_an_older_project_can_still_write_to_sessions(
    old: Connection,
) -> None:
    install(old)

    for statement in (s for s in OLD_WRITES if "user_credits" not in s):
        with old.transaction(force_rollback=True), actors.act_as(old, ADA):
            old.execute(statement)


def test_an_older_project_keeps_every_constraint_except_the_check_on_status(
    old: Connection,
) -> None:
    before = constraints(old)

    install(old)

    after = constraints(old)
    assert set(after) == set(before)
    assert {name for name in before if after[name] != before[name]} == {"known_states"}


def test_the_seven_statuses_and_the_projects_own_statuses_are_allowed(old: Connection) -> None:
    old.execute("drop view public.upcoming")
    install(old)

    for status in (
        *("pending_approval", "scheduled", "confirmed", "in_progress", "completed", "no_show"),
        "rescheduled",
    ):
        old.execute("update public.sessions set status = %s", (status,))
    with pytest.raises(psycopg.errors.CheckViolation):
        old.execute("update public.sessions set status = 'approved'")
    with pytest.raises(psycopg.errors.CheckViolation):
        old.execute("update public.sessions set status = 'cancelled', cancelled_at = null")


def test_a_check_that_already_allows_every_status_is_not_changed(old: Connection) -> None:
    old.execute(
        "alter table public.sessions drop constraint known_states,"
        " add constraint known_states check (status in ('pending_approval', 'scheduled',"
        " 'confirmed', 'in_progress', 'completed', 'no_show', 'cancelled', 'rescheduled'))"
    )
    before = constraints(old)

    install(old)

    assert constraints(old) == before


def test_a_foreign_key_to_a_table_of_statuses_is_not_changed(old: Connection) -> None:
    old.execute(
        "create table public.states (name varchar(50) primary key);"
        " insert into public.states select distinct status from public.sessions;"
        " alter table public.sessions drop constraint known_states,"
        " add constraint state_is_known foreign key (status) references public.states"
    )
    before = constraints(old)

    install(old)

    assert constraints(old) == before


def test_several_checks_on_status_are_all_widened(old: Connection) -> None:
    old.execute(
        "alter table public.sessions"
        " add constraint \"Status, again\" check (status <> 'pending_approval'),"
        " add check (length(status) < 14)"
    )

    install(old)
    old.execute("update public.sessions set status = 'pending_approval'")

    with pytest.raises(psycopg.errors.CheckViolation):
        old.execute("update public.sessions set status = 'a status of old times'")


def test_a_check_of_the_project_that_equals_a_widened_check_is_left_alone(
    old: Connection,
) -> None:
    old.execute("drop view public.upcoming; alter table public.sessions alter status type text")
    install(old)
    old.execute(
        "alter table public.sessions add constraint the_same"
        f" {constraints(old)['known_states']} not valid"
    )

    install(old)

    assert "NOT VALID" in constraints(old)["the_same"]


def test_a_check_that_old_rows_break_still_applies_only_to_new_rows(old: Connection) -> None:
    old.execute(
        "alter table public.sessions drop constraint known_states;"
        " update public.sessions set status = 'odd' where status = 'confirmed';"
        " alter table public.sessions add constraint known_states"
        " check (status in ('scheduled', 'cancelled')) not valid"
    )

    install(old)
    install(old)

    assert "NOT VALID" in constraints(old)["known_states"]
    old.execute("update public.sessions set status = 'pending_approval' where status = 'scheduled'")
    with pytest.raises(psycopg.errors.CheckViolation):
        old.execute("update public.sessions set status = 'odd' where status = 'pending_approval'")


def test_the_whole_story_works_in_an_older_project(old: Connection) -> None:
    install(old)
    actors.configure(old, video_base_url="https://example.daily.co")

    session = propose(old, THERAPIST, ADA, p_time_zone="Asia/Kathmandu")
    instant = propose(old, THERAPIST, ADA, p_is_instant=True, p_time_zone="Asia/Kathmandu")
    approved = [approve(old, ADA, proposal) for proposal in (session, instant)]
    call(old, ADA, "join_session", p_session_id=instant["id"])
    call(old, THERAPIST, "finish_session", p_session_id=instant["id"])
    [cancelled] = call(old, THERAPIST, "cancel_session", p_session_id=session["id"])
    declined = propose(old, THERAPIST, BEN)
    call(old, BEN, "decline_session", p_session_id=declined["id"])

    assert [answer["status"] for answer in approved] == ["scheduled", "confirmed"]
    assert approved[0]["session_url"].startswith("https://example.daily.co/s-")
    assert approved[0]["scheduled_time"].isoformat() == "15:45:00"
    assert cancelled["beside"]["refunded"] is True
    assert balances(old, ADA) == [3]
    assert [entry["kind"] for entry in ledger(old, ADA)] == [
        "opening",
        "approval",
        "approval",
        "refund",
    ]
    for person in (ADA, THERAPIST):
        assert call(old, person, "list_sessions")
        assert call(old, person, "get_credits")
    assert [c["full_name"] for c in call(old, THERAPIST, "list_clients")] == ["Ada", "Ben"]
    assert call(old, ADA, "list_pending_sessions") == []
    assert (
        len(call(old, ADA, "get_session", p_session_id=instant["id"])[0]["beside"]["events"]) == 4
    )


def test_each_lot_that_exists_at_install_gets_one_opening_row(old: Connection) -> None:
    install(old)
    install(old)

    rows = old.execute(
        "select l.user_type, e.kind, e.delta, e.balance_after from session_approval.credit_ledger e"
        " join public.user_credits l on l.id = e.lot_id order by l.user_type"
    ).fetchall()
    assert [tuple(found.values()) for found in rows] == [
        ("individual", "opening", 4, 4),
        ("therapist", "opening", 0, 0),
        ("user", "opening", -2, -2),
    ]


def test_old_sessions_are_shown_with_what_they_have(old: Connection) -> None:
    install(old)

    sessions = call(old, ADA, "list_sessions")

    assert len(sessions) == 5
    oldest = sessions[-1]
    assert (oldest["status"], oldest["duration_minutes"]) == ("scheduled", 60)
    assert oldest["created_at"] == datetime(2025, 12, 1, 12, tzinfo=UTC)
    assert (oldest["is_instant"], oldest["requires_approval"]) == (False, False)


def test_the_servers_own_time_zone_does_not_matter_to_columns_without_one(
    old: Connection,
) -> None:
    install(old)
    old.execute("delete from public.user_credits")
    old.execute("set timezone = 'America/New_York'")
    payment = {"p_user_id": ADA.id, "p_amount": 1, "p_source": "stripe", "p_reference": "pi_1"}
    call_as(old, "service_role", None, "grant_credits", **payment)
    [credits_of_ada] = call(old, ADA, "get_credits")

    session = propose(old, THERAPIST, ADA)
    withdrawn = propose(old, THERAPIST, ADA)
    [withdrawn] = call(old, THERAPIST, "cancel_session", p_session_id=withdrawn["id"])
    declined = propose(old, THERAPIST, ADA)
    [declined] = call(old, ADA, "decline_session", p_session_id=declined["id"])
    approved = approve(old, ADA, session)
    [cancelled] = call(old, ADA, "cancel_session", p_session_id=session["id"])

    forgotten = propose(old, THERAPIST, ADA)
    change(old, "sessions", forgotten["id"], approval_expires_at="now")
    call_as(old, "service_role", None, "sweep_sessions")
    [forgotten] = call(old, ADA, "get_session", p_session_id=forgotten["id"])

    moments = [session["created_at"], approved["approved_at"]]
    moments += [ended["cancelled_at"] for ended in (withdrawn, declined, cancelled, forgotten)]
    moments += [datetime.fromisoformat(lot["created_at"]) for lot in credits_of_ada["lots"]]
    clock = datetime.now(UTC)
    assert [abs(moment - clock) < timedelta(minutes=1) for moment in moments] == [True] * 7


@pytest.mark.parametrize(("user_type", "client"), [("individual", BEN), ("user", ADA)])
def test_a_project_with_only_one_kind_of_client_can_refund_a_deleted_lot(
    old: Connection, user_type: str, client: Person
) -> None:
    install(old)
    old.execute("delete from public.user_credits")
    old.execute(f"alter table public.user_credits add check (user_type = '{user_type}')")
    old.execute(
        "insert into public.user_credits (user_id, user_type, credits_balance) values (%s, %s, 2)",
        (client.id, user_type),
    )
    session = approve(old, client, propose(old, THERAPIST, client))
    old.execute("delete from public.user_credits")

    [cancelled] = call(old, THERAPIST, "cancel_session", p_session_id=session["id"])

    assert cancelled["beside"]["refunded"] is True
    assert balances(old, client) == [1]


NUMBERS = """
alter table public.sessions add column duration_minutes {type};
alter table public.user_credits
  alter column credits_balance type {type},
  add column credits_expired {type} default 0;
"""


@pytest.mark.parametrize("number", ["bigint", "smallint", "numeric", "double precision"])
def test_a_project_may_have_made_its_numbers_of_another_type(old: Connection, number: str) -> None:
    old.execute(NUMBERS.format(type=number))
    install(old)
    install(old)

    session, instant = (
        propose(old, THERAPIST, ADA, p_is_instant=is_instant) for is_instant in (False, True)
    )
    for proposal in (session, instant):
        approve(old, ADA, proposal)
    call(old, ADA, "join_session", p_session_id=instant["id"])
    old.execute("update public.user_credits set expires_at = now(), credits_balance = 2")
    [cancelled] = call(old, THERAPIST, "cancel_session", p_session_id=session["id"])
    [adjusted] = call_as(
        old,
        "service_role",
        None,
        "adjust_credits",
        p_lot_id=row_of(old, ADA),
        p_delta=3,
        p_reason="x",
        p_actor_id=ADA.id,
    )
    call_as(
        old,
        "service_role",
        None,
        "grant_credits",
        p_user_id=ADA.id,
        p_amount=2,
        p_source="x",
        p_reference="y",
    )
    call_as(old, "service_role", None, "sweep_sessions")

    assert cancelled["beside"]["refunded"] is True
    assert adjusted["credits_balance"] == 4
    [credits] = call(old, ADA, "get_credits")
    assert (credits["credits_balance"], credits["total_credits"]) == (6, 6)
    assert [(e["kind"], e["delta"], e["balance_after"]) for e in ledger(old, ADA)] == [
        ("opening", 4, 4),
        ("approval", -1, 3),
        ("approval", -1, 2),
        ("expiry", -2, 0),
        ("refund", 1, 1),
        ("external", 3, 4),
        ("grant", 2, 6),
    ]
    assert call_as(old, "service_role", None, "reconcile_credits") == []


def test_a_lot_without_an_owner_is_kept_and_recorded(old: Connection) -> None:
    old.execute("alter table public.user_credits alter column user_id drop not null")
    statement = "insert into public.user_credits (user_type, credits_balance) values ('partner', 5)"
    old.execute(statement)

    install(old)
    old.execute(statement)
    old.execute("update public.user_credits set credits_balance = 6 where user_id is null")

    entries = old.execute(
        "select kind, delta from session_approval.credit_ledger where user_id is null order by id"
    ).fetchall()
    assert [tuple(entry.values()) for entry in entries] == [
        ("opening", 5),
        ("external", 5),
        ("external", 1),
        ("external", 1),
    ]


# Row level security.


def policies(db: Connection) -> dict[str, list[str]]:
    """Return the policies on each table: for what, to whom, and by what name."""
    found = db.execute(
        "select tablename,"
        " array_agg(concat_ws(' ', cmd, 'to', roles::text, policyname) order by policyname) as all"
        " from pg_policies group by tablename"
    )
    return {table["tablename"]: table["all"] for table in found}


def secured(db: Connection) -> set[str]:
    """Return the tables that have row level security on."""
    found = db.execute(
        "select relname from pg_class where relrowsecurity"
        " and relnamespace = 'public'::regnamespace"
    )
    return {table["relname"] for table in found}


def test_row_level_security_that_is_off_stays_off(old: Connection) -> None:
    install(old)

    assert (secured(old), policies(old)) == (set(), {})
    with actors.act_as(old, BEN):
        assert len(old.execute("select from public.sessions").fetchall()) == 5


def test_our_policies_stand_beside_the_projects_own_if_row_level_security_is_on(
    old: Connection,
) -> None:
    old.execute(
        "alter table public.sessions enable row level security;"
        " alter table public.user_credits enable row level security;"
        ' create policy "Their own" on public.sessions for select to authenticated using (false)'
    )

    install(old)

    assert secured(old) == {"sessions", "user_credits"}
    assert policies(old) == {
        "sessions": [
            "SELECT to {authenticated} People see their own sessions",
            "SELECT to {authenticated} Their own",
        ],
        "user_credits": ["SELECT to {authenticated} Clients see their own credits"],
    }
    for person, sessions in ((ADA, 5), (THERAPIST, 5), (BEN, 0)):
        with actors.act_as(old, person):
            assert len(old.execute("select from public.sessions").fetchall()) == sessions


OURS = {
    "public.sessions": "People see their own sessions",
    "public.user_credits": "Clients see their own credits",
    "realtime.messages": "People hear of their own sessions",
}


@pytest.mark.parametrize(
    "changed",
    [
        "alter policy {0} on {1} using (true)",
        "alter policy {0} on {1} to anon",
        "alter policy {0} on {1} rename to theirs",
        "drop policy {0} on {1}",
    ],
)
def test_our_policy_is_kept_if_unchanged_and_replaced_if_changed(
    db: Connection, changed: str
) -> None:
    files = (
        "people_see_their_own_sessions",
        "clients_see_their_own_credits",
        "broadcast_change",
    )

    def stand() -> list[Any]:
        for file in files:
            db.execute(object_file(file).read_text())
        return db.execute(
            "select p.oid as id, p.polrelid::regclass::text as on, p.polcmd, p.polpermissive,"
            " p.polroles, pg_get_expr(p.polqual, p.polrelid) as qual"
            " from pg_policy p where p.polname = any (%s) order by 2",
            (list(OURS.values()),),
        ).fetchall()

    db.execute(REALTIME)
    before = stand()
    assert stand() == before
    assert {policy["on"] for policy in before} == {"sessions", "user_credits", "realtime.messages"}

    for table, name in OURS.items():
        db.execute(changed.format(f'"{name}"', table))

    assert [{**policy, "id": 0} for policy in stand()] == [{**policy, "id": 0} for policy in before]


def test_the_guards_work_while_row_level_security_is_off(old: Connection) -> None:
    install(old)
    session = propose(old, THERAPIST, ADA)

    for table, row_id, columns in [
        ("sessions", session["id"], {"status": "scheduled"}),
        ("sessions", session["id"], {"status": "rescheduled"}),
        ("user_credits", session["id"], {"credits_balance": 9}),
    ]:
        with pytest.raises(psycopg.Error) as caught, actors.act_as(old, ADA):
            change(old, table, row_id, **columns)
        assert caught.value.sqlstate == "PT403"


# Onto an earlier attempt.


def test_the_earlier_attempt_fails_on_every_call(old: Connection) -> None:
    old.execute(EARLIER_ATTEMPT)

    with pytest.raises(psycopg.errors.AmbiguousColumn):
        call(old, ADA, APPROVE, p_session_id=uuid4(), p_user_id=ADA.id)


def test_the_earlier_attempt_is_replaced_and_its_waiting_session_can_be_approved(
    old: Connection,
) -> None:
    old.execute(EARLIER_ATTEMPT)
    before = answers(old)
    install(old)
    assert answers(old) == before

    [waiting] = call(old, ADA, "list_pending_sessions")
    assert (waiting["session_url"], waiting["requires_approval"]) == (None, True)
    approved = approve(old, ADA, waiting)

    assert (approved["status"], approved["beside"]["credits_balance_after"]) == ("scheduled", 3)
    assert (approved["scheduled_date"], approved["duration_minutes"]) == (None, 60)
    assert [event["to_status"] for event in events(old, waiting)] == ["scheduled"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        call_as(old, "anon", ADA, APPROVE, p_session_id=waiting["id"], p_user_id=ADA.id)


# People elsewhere.


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "rename full_name to name; alter table public.users rename user_type to role;"
            " alter table public.users add timezone text default 'Asia/Tokyo'",
            ("Tara", "t@example.org", "therapist", True, "Asia/Tokyo"),
        ),
        (
            "drop full_name, drop email, add is_active boolean, add timezone text default 'UTC',"
            " add time_zone text default 'Asia/Tokyo'",
            (None, None, "therapist", True, "Asia/Tokyo"),
        ),
    ],
)
def test_details_of_people_are_read_from_the_columns_that_exist(
    old: Connection, change: str, told: tuple[Any, ...]
) -> None:
    old.execute(f"alter table public.users {change}")

    install(old)

    [tara] = old.execute(
        "select full_name, email, user_type, is_active, time_zone from session_approval.people"
        " where id = %s",
        (THERAPIST.id,),
    ).fetchall()
    assert tuple(tara.values()) == told


def test_people_may_live_in_another_table_behind_a_view_of_the_projects_own(
    old: Connection,
) -> None:
    old.execute(PROFILES)
    [before] = old.execute(
        "select pg_get_viewdef('session_approval.people'::regclass) as text"
    ).fetchall()

    install(old)
    install(old)

    [after] = old.execute(
        "select pg_get_viewdef('session_approval.people'::regclass) as text"
    ).fetchall()
    assert after == before
    session = approve(old, ADA, propose(old, THERAPIST, ADA))
    assert session["therapist"]["full_name"] == "Tara"
    assert [c["full_name"] for c in call(old, THERAPIST, "list_clients")] == ["Ada", "Ben"]
    change(old, "user_credits", row_of(old, ADA), user_type="individual")
    old.execute("update public.profiles set banned = true where id = %s", (ADA.id,))
    with pytest.raises(psycopg.Error) as caught:
        approve(old, ADA, session)
    assert caught.value.sqlstate == "PT403"
    old.execute("delete from public.user_credits")
    [cancelled] = call(old, THERAPIST, "cancel_session", p_session_id=session["id"])
    assert cancelled["beside"]["refunded"] is True


def row_of(db: Connection, person: Person) -> UUID:
    """Return the only lot of a person."""
    [lot] = db.execute(
        "select id from public.user_credits where user_id = %s", (person.id,)
    ).fetchall()
    lot_id: UUID = lot["id"]
    return lot_id


def test_the_projects_own_view_of_people_and_its_schema_are_closed_to_people(
    old: Connection,
) -> None:
    old.execute(PROFILES)
    old.execute(
        "grant usage on schema session_approval to public, anon;"
        " grant select on session_approval.people to anon, authenticated"
    )

    install(old)

    may_look = "select has_schema_privilege('anon', 'session_approval', 'usage') as it_may"
    assert old.execute(may_look).fetchall() == [{"it_may": False}]
    for role in ("anon", "authenticated"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), actors.act_as(old, ADA, role):
            old.execute("select from session_approval.people")


# What is missing.


def test_the_install_reports_everything_missing_at_once_and_changes_nothing(
    server: Server,
) -> None:
    name = f"test_empty_{uuid4().hex[:8]}"
    address = server.create(name, "template0")
    try:
        with actors.connect(address) as db:
            db.execute("create table public.sessions (id uuid primary key, user_id uuid)")
            before = schema(db)

            with pytest.raises(CommandError) as caught:
                install(db)

            said = str(caught.value)
            assert said.count("ERROR") == 1
            for missing in (
                "function auth.uid()",
                "table public.users",
                "column public.sessions.therapist_id",
                "column public.sessions.status",
                "column public.sessions.created_at",
                "column public.user_credits.id",
                "column public.user_credits.credits_balance",
                "sql/local/supabase.sql",
                "sql/starter/install.sql",
                "nothing was changed",
            ):
                assert missing in said
            assert "column public.sessions.user_id" not in said
            assert schema(db) == before
    finally:
        server.drop(name)


def test_the_install_also_reports_keys_that_are_not_uuids_and_people_without_a_kind(
    bare_database: str,
) -> None:
    with actors.connect(bare_database) as db:
        db.execute(
            "create table public.users (id bigint primary key, email text);"
            " create table public.sessions (id bigint primary key, user_id bigint,"
            " therapist_id uuid, start_time timestamptz, end_time timestamptz, status text,"
            " session_type text, created_at timestamptz);"
            " create table public.user_credits (id integer, user_id text, user_type text,"
            " credits_balance integer, created_at timestamptz)"
        )
        before = schema(db)

        with pytest.raises(CommandError) as caught:
            install(db)

        said = str(caught.value)
        assert said.count("ERROR") == 1
        for column, found in [
            ("users.id", "bigint"),
            ("sessions.id", "bigint"),
            ("sessions.user_id", "bigint"),
            ("user_credits.id", "integer"),
            ("user_credits.user_id", "text"),
        ]:
            assert f"column public.{column} of type uuid: it is {found}" in said
        assert "therapist_id" not in said
        assert "column public.users.user_type" in said
        assert schema(db) == before


def test_an_install_that_stops_half_way_changes_nothing(old: Connection) -> None:
    old.execute(
        "create schema session_approval; create view session_approval.people as select 1 as id"
    )
    before = schema(old), answers(old)

    with pytest.raises(CommandError, match="does not exist"):
        install(old)

    assert (schema(old), answers(old)) == before


# Who installs.


CRON = """
create function cron.schedule(job_name text, schedule text, command text) returns bigint
language plpgsql as 'begin raise exception ''not yours''; end'
"""


def test_an_owner_who_is_not_a_superuser_can_install_and_the_story_works(
    bare_database: str,
) -> None:
    owner = f"test_owner_{uuid4().hex[:8]}"
    with actors.connect(bare_database) as db:
        db.execute(
            f"create role {owner} nologin bypassrls in role anon, authenticated, service_role"
        )
        try:
            db.execute(f"grant create on schema public to {owner}")
            db.execute(f"grant usage on schema auth to {owner} with grant option")
            db.execute(f"create schema cron; {CRON}")  # which is the superuser's alone
            [name] = db.execute("select current_database() as database").fetchall()
            db.execute(f"grant create on database {name['database']} to {owner}")
            for file in (psql.STARTER, psql.INSTALL, psql.INSTALL):
                subprocess.run(
                    [
                        *(WHEEL_BIN / "psql", "-X", "-1", "-q", "-v", "ON_ERROR_STOP=1"),
                        *("-d", bare_database, "-c", f"set role {owner}", "-f", file),
                    ],
                    check=True,
                )
            with actors.act_as(db, None, owner):
                assert db.execute("select from session_approval.uninstall_plan").fetchall()
                therapist = actors.add_person(db, "therapist")
                client = actors.add_person(db, "individual")
                actors.give_credits(db, client, 2)

            session = approve(db, client, propose(db, therapist, client))
            [cancelled] = call(db, therapist, "cancel_session", p_session_id=session["id"])
            assert cancelled["beside"]["refunded"] is True
            other = propose(db, therapist, client)
            [approved] = call_as(
                db, owner, None, APPROVE, p_session_id=other["id"], p_user_id=client.id
            )
            assert approved["status"] == "scheduled"
            assert row(db, "sessions", other["id"])["credit_lot_id"] is not None
        finally:
            db.execute(f"drop owned by {owner} cascade")
            db.execute(f"drop role {owner}")


def test_an_older_release_with_other_shapes_of_functions_and_views_is_replaced(
    own_database: str,
) -> None:
    with actors.connect(own_database) as db:
        db.execute("create role payments")
        try:
            db.execute("drop function public.sweep_sessions()")
            db.execute(
                "set check_function_bodies = off;"
                " create function public.sweep_sessions() returns integer language sql"
                " as 'select * from session_approval.sweep_sessions()'"
            )
            db.execute("grant execute on function public.get_credits(bigint) to payments")
            db.execute("create view public.mine as select * from session_approval.held_sessions")
            db.execute(
                "create function public.status_set_by_system(p_id uuid) returns boolean"
                " language sql as 'select coalesce("
                "session_approval.status_set_by_system(p_id), false)'"
            )
            db.execute(
                "create function session_approval.one() returns integer language sql as 'select 1';"
                " create view session_approval.ones as select session_approval.one() as one"
            )

            psql.apply(own_database, [psql.INSTALL])

            [swept] = actors.call_as(db, "service_role", None, "sweep_sessions")
            assert set(swept) == {"sessions_expired", "lots_expired", "sessions_closed"}
            assert db.execute("select * from public.mine").fetchall() == []
            assert db.execute(
                "select to_regprocedure('public.status_set_by_system(uuid)') is not null as there"
            ).fetchall() == [{"there": True}]
            assert db.execute(
                "select to_regprocedure('session_approval.one()') is null as gone"
            ).fetchall() == [{"gone": True}]
            [grant] = db.execute(
                "select has_function_privilege("
                "'payments', 'public.get_credits(bigint)', 'execute') as ok"
            ).fetchall()
            assert grant["ok"]
        finally:
            db.execute("drop owned by payments")
            db.execute("drop role payments")


def grants(db: Connection) -> set[tuple[str, str]]:
    """Return who may call which function of ours."""
    found = db.execute(
        "select f.oid::regprocedure::text as function, a.grantee::regrole::text as role"
        " from pg_proc f cross join aclexplode(f.proacl) a"
        " where f.pronamespace in ('public'::regnamespace, 'session_approval'::regnamespace)"
    )
    return {(grant["function"], grant["role"]) for grant in found}


def test_the_databases_own_roles_keep_their_grants_on_entry_points_and_no_role_gets_more(
    own_database: str,
) -> None:
    approve_door = "approve_session_and_deduct_credit(uuid,uuid)"
    with actors.connect(own_database) as db:
        before = grants(db)
        db.execute("create role payments; create role former")
        try:
            db.execute(
                "set check_function_bodies = off;"
                " create function public.list_invoices() returns setof integer language sql"
                " as 'select * from session_approval.list_invoices()';"
                " grant execute on function public.list_invoices(),"
                f" public.{approve_door}, session_approval.acting_role() to payments;"
                " grant execute on all functions in schema public"
                " to public, anon, authenticated, service_role;"
                " alter function public.get_credits(bigint) owner to former"
            )

            psql.apply(own_database, [psql.INSTALL])

            assert grants(db) - before == {(approve_door, "payments")}
            assert before - grants(db) == set()
        finally:
            db.execute("drop owned by payments, former")
            db.execute("drop role payments, former")


@pytest.mark.parametrize(
    "shape",
    [
        "setof public.session_answer language sql"
        " as 'select * from session_approval.session_answers where false'",
        "void language sql"
        " as 'select from session_approval.approve_session_and_deduct_credit($1, $2)'",
    ],
    ids=["nothing of ours is called", "ours is called"],
)
def test_a_changed_entry_point_of_ours_is_replaced_and_never_restored(
    own_database: str, shape: str
) -> None:
    with actors.connect(own_database) as db:
        db.execute(
            f"drop function public.{APPROVE}(uuid, uuid); create function"
            f" public.{APPROVE}(p_session_id uuid, p_user_id uuid) returns {shape}"
        )

        psql.apply(own_database, [psql.INSTALL])

        found = db.execute("select from session_approval.install_changes where kind = 'function'")
        assert found.fetchall() == []


def test_an_earlier_attempt_that_somebody_put_back_is_replaced_again(old: Connection) -> None:
    old.execute(EARLIER_ATTEMPT)
    install(old)
    [note] = old.execute(
        "select was from session_approval.install_changes where kind = 'function'"
    ).fetchall()
    old.execute(f"drop function public.{APPROVE}(uuid, uuid)")
    old.execute(note["was"])

    install(old)

    [waiting] = call(old, ADA, "list_pending_sessions")
    assert approve(old, ADA, waiting)["status"] == "scheduled"
