"""Installing online: the same result, at any point interrupted, with nobody kept waiting."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scripts import ROOT, CommandError
from scripts.local.postgres import WHEEL_BIN
from scripts.operate import psql
from scripts.operate.bundle import bundle
from scripts.operate.sql_files import object_file
from tests import actors
from tests.actors import Connection, approve, propose
from tests.install import places
from tests.install.places import ADA, BEN, THERAPIST, dump, install, roll_back
from tests.install.test_install import APPROVE, answers, schema
from tests.servers import Server

ONLINE = ROOT / "sql" / "online"
POLICY_FILES = ("people_see_their_own_sessions", "clients_see_their_own_credits")
# Everything in the schema that a second install does not write again, without ids and moments.
TABLES = {
    "install_changes": "kind, name, was, became",
    "settings": "settings",
    "credit_ledger": "user_id, kind, delta, balance_after, actor_id, reason, source",
    "bookings": "session_id, person_id, during",
    "transitions": "transitions",
    "installs": "version, checksum, definitions",
}
POLICIES = {
    "sessions": "People see their own sessions",
    "user_credits": "Clients see their own credits",
}
# An earlier attempt with this overlaps with ours in every way that the steps must tell apart.
ALL_AT_ONCE = """
alter table public.sessions add constraint known_states check (status <> 'in_progress');
alter table public.sessions enable row level security;
alter table public.user_credits enable row level security;
"""


def lines_of(file: Path) -> Iterator[str]:
    """Yield the lines of the online install, with those of its own parts in their place."""
    for line in file.read_text().splitlines(keepends=True):
        part = re.fullmatch(r"\\ir (\w+\.sql)\n", line)
        if part:
            yield from lines_of(ONLINE / part[1])
        else:
            yield line


def steps() -> list[str]:
    """Return the online install, cut after each of its transactions; each index is one."""
    found, current = [], ""
    for line in lines_of(ONLINE / "install.sql"):
        current += line
        if line in ("\\gexec\n", "commit;\n", "$$;\n"):
            found += one_by_one(current) if "our_indexes ours" in current else [current]
            current = ""
    return [*found, current]


def one_by_one(part: str) -> Iterator[str]:
    """Yield the step that builds the indexes as a step for each of them."""
    list_of_indexes = (ROOT / "sql" / "install" / "our_indexes.sql").read_text()
    names = re.findall(r"\('(\w+_idx)'", list_of_indexes)
    assert len(names) == 8
    for name in names:
        yield part.replace("\\gexec", f"where ours.name = '{name}'\n\\gexec")


def before(text: str) -> str:
    """Return the online install up to the one statement in which a text stands."""
    parts = steps()
    [place] = [n for n, part in enumerate(parts) if text in part]
    return "".join(parts[:place])


def run_script(db: Connection, text: str) -> None:
    """Send a script to psql as it stands; its end is the end of the connection."""
    result = subprocess.run(
        [WHEEL_BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", db.info.dsn],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=ONLINE,
    )
    assert result.returncode == 0, result.stderr
    gone = "select from pg_stat_activity where application_name = 'psql' and datname = %s"
    while db.execute(gone, (db.info.dbname,)).fetchall():
        pass  # its server process lets go of its locks as it ends


def left(db: Connection) -> dict[str, Any]:
    """Return what an install wrote into the schema."""
    return {
        table: sorted(
            str(row) for row in db.execute(f"select {what} from session_approval.{table}")
        )
        for table, what in TABLES.items()
    }


def locks(db: Connection) -> dict[str, set[str]]:
    """Return the locks that this connection holds, by table, of the application's and of ours."""
    found = db.execute(
        "select c.relname as table, array_agg(distinct l.mode) as modes from pg_locks l"
        " join pg_class c on c.oid = l.relation and c.relkind = 'r'"
        " where l.pid = pg_backend_pid() and c.relnamespace in"
        " ('public'::regnamespace, 'session_approval'::regnamespace) group by c.relname"
    )
    return {lock["table"]: set(lock["modes"]) for lock in found}


@pytest.fixture
def place(server: Server, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection to a database of some project, where nothing of ours is installed yet."""
    yield from _place(server, getattr(request, "param", "all at once"))


@pytest.fixture
def twin(server: Server, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A second database of the same project."""
    yield from _place(server, getattr(request, "param", "all at once"))


def _place(server: Server, name: str) -> Iterator[Connection]:
    everything = name == "all at once"
    with places.place(server, "earlier_attempt" if everything else name) as db:
        if everything:
            db.execute(ALL_AT_ONCE)
        yield db


# The same.


@pytest.mark.parametrize(
    ("place", "twin"),
    [(name, name) for name in ("all at once", "hosted", "some_of_ours")],
    indirect=True,
)
def test_an_online_install_leaves_the_same_result_as_one_transaction(
    place: Connection, twin: Connection
) -> None:
    answered = answers(place)

    install(twin)
    psql.apply_online(place.info.dsn)

    assert schema(place) == schema(twin)
    assert left(place) == left(twin)
    assert answers(place) == answered
    after = schema(place), left(place)
    install(place)
    psql.apply_online(place.info.dsn)
    assert (schema(place), left(place)) == after


def test_an_online_install_of_the_same_release_changes_nothing(
    place: Connection,
) -> None:
    install(place)
    place.execute("update public.user_credits set user_type = 'individual', credits_balance = 9")
    approve(place, ADA, propose(place, THERAPIST, ADA))
    propose(place, THERAPIST, ADA)
    installed = schema(place), actors.contents(place), left(place)

    psql.apply_online(place.info.dsn)

    assert (schema(place), actors.contents(place), left(place)) == installed


# Interrupted.


def test_an_install_interrupted_after_each_statement_still_reaches_the_same_end(
    place: Connection, twin: Connection
) -> None:
    install(twin)
    parts = steps()
    assert len(parts) > 15

    for end in range(1, len(parts)):
        run_script(place, "".join(parts[:end]))
    psql.apply_online(place.info.dsn)

    assert schema(place) == schema(twin)
    assert left(place) == left(twin)


def test_an_install_interrupted_at_any_step_can_be_undone_and_the_application_works(
    place: Connection,
) -> None:
    dumped, answered = dump(place), answers(place)
    parts = steps()
    commits = [n for n, part in enumerate(parts, 1) if re.search(r"^(commit;|\\gexec)", part, re.M)]
    indexes = [n for n, part in enumerate(parts, 1) if "start_time_idx" in part]
    assert len(commits) >= 6

    for end in (*commits, indexes[0], len(parts)):
        run_script(place, "".join(parts[:end]))
        assert answers(place) == answered, parts[end - 1]
        place.execute("update public.user_credits set credits_balance = credits_balance")

        roll_back(place, "drop")

        assert dump(place) == dumped, parts[end - 1]


@pytest.mark.parametrize("place", ["profiles"], indirect=True)
def test_an_interrupted_install_remembers_that_the_project_owns_the_view_of_people(
    place: Connection,
) -> None:
    begun = before("0006_sessions.sql")

    for _ in range(2):
        run_script(place, begun)
    psql.apply_online(place.info.dsn)

    assert "kept: view session_approval.people" in roll_back(place)


@pytest.mark.parametrize(
    "installing",
    [psql.apply_online, lambda address: psql.apply(address, [psql.INSTALL])],
    ids=["online", "in one transaction"],
)
def test_an_index_that_was_left_unfinished_is_made_again(
    place: Connection, twin: Connection, installing: Callable[[str], None]
) -> None:
    run_script(place, before("sessions_user_id_start_time_idx"))
    for db in (place, twin):
        builder = actors.connect(db.info.dsn)
        with builder, actors.connect(db.info.dsn, autocommit=False) as old:
            old.execute("update public.sessions set status = status")
            builder.execute("set statement_timeout = '100ms'")
            with pytest.raises(psycopg.errors.QueryCanceled):
                builder.execute(
                    "create index concurrently sessions_user_id_start_time_idx"
                    " on public.sessions (user_id, start_time desc, id)"
                )

    installing(place.info.dsn)

    valid = "select indisvalid as is_valid from pg_index where indexrelid = %s::regclass"
    name = ("public.sessions_user_id_start_time_idx",)
    assert place.execute(valid, name).fetchall() == [{"is_valid": True}]
    # One that was there before, and of that name, is the application's: it is left alone.
    installing(twin.info.dsn)
    assert twin.execute(valid, name).fetchall() == [{"is_valid": False}]


def test_an_install_in_one_transaction_finishes_an_online_install(
    place: Connection, twin: Connection
) -> None:
    install(twin)
    run_script(place, before("validate constraint"))
    assert "NOT VALID" in schema(place)

    install(place)

    assert schema(place) == schema(twin)
    assert left(place) == left(twin)


def test_a_second_online_install_at_the_same_time_is_refused(place: Connection) -> None:
    place.execute("select pg_advisory_lock(hashtextextended('session_approval.online', 0))")
    found = schema(place)

    with pytest.raises(CommandError, match="another session is installing online"):
        psql.apply_online(place.info.dsn)

    assert schema(place) == found


# Writers do not wait.


def test_only_the_end_of_an_install_blocks_writers_if_columns_and_indexes_exist(
    place: Connection,
) -> None:
    run_script(place, before("../install.sql"))
    readers_and_rows = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
    begins, lock, ends = bundle(psql.INSTALL).partition(
        "-- sql/install/lock_application_tables.sql\n"
    )
    assert lock

    for _ in range(2):
        with place.transaction():
            place.execute("set local session_approval.online = 'on'")
            place.execute(begins)
            held = locks(place)
            for table in ("sessions", "user_credits"):
                assert held[table] <= readers_and_rows | {"ShareUpdateExclusiveLock"}, table
            place.execute(lock + ends)
            for table in ("sessions", "user_credits"):
                assert "AccessExclusiveLock" not in locks(place)[table], "readers wait"
    with place.transaction():
        place.execute(begins)
        for table, modes in locks(place).items():
            assert modes <= readers_and_rows | {"ShareUpdateExclusiveLock"}, table


@pytest.mark.parametrize(
    ("lacking", "column", "migration", "other"),
    [
        ("user_credits", "credits_expired", "0006_sessions", "sessions"),
        ("sessions", "request_key", "0004_user_credits", "user_credits"),
    ],
)
def test_a_missing_column_in_one_table_does_not_lock_the_other_table(
    db: Connection, lacking: str, column: str, migration: str, other: str
) -> None:
    db.execute(f"alter table public.{lacking} drop column {column} cascade")

    for file in ("install/our_columns", f"migrations/{migration}"):
        db.execute((ROOT / f"sql/{file}.sql").read_text())

    assert "AccessExclusiveLock" in locks(db)[lacking]
    assert "AccessExclusiveLock" not in locks(db).get(other, set())


@pytest.mark.parametrize(
    ("table", "held", "writing"),
    [
        (
            "sessions",
            "update public.sessions set status = status",
            "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
            f" values ('{ADA.id}', '{THERAPIST.id}', now(), now() + interval '1 hour')",
        ),
        (
            "user_credits",
            f"update public.user_credits set user_type = user_type where user_id = '{ADA.id}'",
            f"update public.user_credits set user_type = user_type where user_id = '{BEN.id}'",
        ),
    ],
)
def test_writers_go_on_while_the_install_waits_for_a_long_transaction(
    place: Connection, table: str, held: str, writing: str
) -> None:
    def wait_until_it_asks_for_the_table() -> None:
        asked = (
            "select from pg_locks where relation = %s::regclass"
            " and mode = 'AccessExclusiveLock' and not granted"
        )
        while not place.execute(asked, (f"public.{table}",)).fetchall():
            assert installing.is_alive()

    with actors.connect(place.info.dsn, autocommit=False) as long:
        long.execute(held)
        installing = threading.Thread(target=psql.apply_online, args=(place.info.dsn,))
        installing.start()
        try:
            wait_until_it_asks_for_the_table()
            place.execute("set statement_timeout = '1s'")
            for _ in range(20):
                place.execute(writing)
            wait_until_it_asks_for_the_table()
        finally:
            long.rollback()
            installing.join()

    assert place.execute("select session_approval.version()").fetchall()


def test_the_install_names_the_blocking_session_and_tries_again(
    place: Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    installing = "select from pg_stat_activity where application_name = 'psql' and datname = %s"

    seen = []

    def let_go_after_the_first_try() -> None:
        for awaited in (True, False):
            while bool(place.execute(installing, (place.info.dbname,)).fetchall()) != awaited:
                pass
            seen.append(time.monotonic())
        assert "approved_at" not in schema(place)
        long.rollback()

    with (
        actors.connect(place.info.dsn, autocommit=False) as other_table,
        actors.connect(place.info.dsn, autocommit=False) as long,
    ):
        other_table.execute("select from public.users -- the weekly report")
        long.execute("select from public.sessions")
        long.execute("update public.sessions set status = status -- the monthly report")
        other = threading.Thread(target=let_go_after_the_first_try)
        other.start()
        psql.apply_online(place.info.dsn, tries=2, pause=1)
        other.join()

    said = capfd.readouterr().out
    assert re.search(r"no lock on public.sessions(.|\n)*monthly report(.|\n)*tries left: 1", said)
    assert (said.count("monthly report"), said.count("- process ")) == (1, 1)
    assert 5 < seen[1] - seen[0] < 10
    assert place.execute("select session_approval.version()").fetchall()


@pytest.mark.parametrize(
    "taking",
    [
        "select session_approval.lock_tables('access exclusive', 'public.sessions')",
        *(object_file(policy).read_text() for policy in POLICY_FILES),
        (ROOT / "sql/migrations/0011_status_checks.sql").read_text(),
        (ROOT / "sql/install/lock_application_tables.sql").read_text(),
    ],
    ids=[
        "by itself",
        *(f"for the policy {policy}" for policy in POLICY_FILES),
        "for a check",
        "for the triggers",
    ],
)
def test_the_install_asks_again_for_a_lock_while_another_session_holds_the_table(
    own_database: str, taking: str
) -> None:
    pausing = "select from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    with (
        actors.three_connections(own_database) as (owner, writer, installer),
        ThreadPoolExecutor(1) as pool,
    ):
        for table, policy in POLICIES.items():
            owner.execute(f'alter policy "{policy}" on public.{table} using (false)')
        owner.execute(
            "alter table public.sessions drop constraint sessions_status_check,"
            " add constraint sessions_status_check check (status <> 'in_progress')"
        )
        for table in POLICIES:
            writer.execute(f"lock table public.{table} in row exclusive mode")
        installer.execute("begin; set local lock_timeout = '7s'")
        answer = pool.submit(installer.execute, taking)
        asked_by = (installer.info.backend_pid,)
        while not (answer.done() or owner.execute(pausing, asked_by).fetchall()):
            pass
        assert not answer.done()
        writer.commit()
        answer.result(20)
        assert installer.execute("show lock_timeout").fetchall() == [{"lock_timeout": "7s"}]
        installer.execute("commit")
        assert installer.execute("show lock_timeout").fetchall() == [{"lock_timeout": "0"}]


# The ledger.


def test_every_lot_in_the_ledger_adds_up_at_every_commit_while_others_change_them(
    place: Connection,
) -> None:
    place.execute(
        "insert into public.users (id, user_type) select gen_random_uuid(), 'individual'"
        " from generate_series(1, 3000);"
        " insert into public.user_credits (user_id, user_type, credits_balance)"
        " select id, 'individual', 5 from public.users on conflict do nothing"
    )
    done = threading.Event()
    wrong: list[Any] = []

    def write(statement: str) -> None:
        with actors.connect(place.info.dsn) as db:
            while not done.is_set():
                db.execute(statement)

    def watch() -> None:
        with actors.connect(place.info.dsn, autocommit=False) as db:
            db.execute("set default_transaction_isolation = 'repeatable read'")
            db.commit()
            while not done.is_set():
                if db.execute(
                    "select to_regclass('session_approval.credit_ledger') as is_there"
                ).fetchall()[0]["is_there"]:
                    wrong.extend(
                        db.execute(
                            "select e.lot_id from session_approval.credit_ledger e"
                            " left join public.user_credits l on l.id = e.lot_id"
                            " group by e.lot_id, l.credits_balance"
                            " having sum(e.delta) <> coalesce(l.credits_balance, 0)"
                        )
                    )
                db.commit()

    some = "(select id from public.user_credits tablesample bernoulli (2) limit 3)"
    threads = [
        threading.Thread(target=target, args=arguments)
        for target, arguments in [
            (
                write,
                (
                    f"update public.user_credits set credits_balance = credits_balance + 1"
                    f" where id in {some}",
                ),
            ),
            (
                write,
                (f"delete from public.user_credits where id::text ~ '^[ab]' and id in {some}",),
            ),
            (watch, ()),
        ]
    ]
    for thread in threads:
        thread.start()
    try:
        psql.apply_online(place.info.dsn)
    finally:
        done.set()
        for thread in threads:
            thread.join()

    assert wrong == []
    kinds = place.execute(
        "select count(*) filter (where kind = 'opening') as openings,"
        " count(*) filter (where kind = 'external') as changes,"
        " count(distinct lot_id) as lots from session_approval.credit_ledger"
    ).fetchall()[0]
    assert kinds["openings"] == kinds["lots"] > 1000
    assert kinds["changes"] > 0
    problems = actors.call_as(place, "service_role", None, "reconcile_credits")
    assert [p for p in problems if p["problem"] != "a balance is negative"] == []


def test_the_first_change_of_a_lot_opens_it_in_the_ledger(
    place: Connection,
) -> None:
    place.execute("update public.user_credits set user_type = 'user', credits_balance = 3")
    run_script(place, before("lots have been locked"))
    entries = "select kind, delta, balance_after from session_approval.credit_ledger order by id"
    assert place.execute(entries).fetchall() == []

    place.execute(
        "update public.user_credits set credits_balance = 5 where user_id = %s", (ADA.id,)
    )
    session = propose(place, THERAPIST, ADA)
    [approved] = actors.call(place, ADA, APPROVE, p_session_id=session["id"], p_user_id=ADA.id)
    place.execute("truncate public.user_credits")

    assert approved["beside"]["credits_balance_after"] == 4
    found = [tuple(entry.values()) for entry in place.execute(entries)]
    assert found[:3] == [("opening", 3, 3), ("external", 2, 5), ("approval", -1, 4)]
    assert sorted(found[3:]) == [
        *[("external", -4, 0), ("external", -3, 0), ("external", -3, 0)],
        *[("opening", 3, 3), ("opening", 3, 3)],
    ]
    assert actors.call_as(place, "service_role", None, "reconcile_credits") == []


def test_a_lot_opened_in_a_transaction_that_cannot_see_it_is_not_opened_twice(
    place: Connection,
) -> None:
    run_script(place, before("lots have been locked"))
    with actors.connect(place.info.dsn, autocommit=False) as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select from public.users")
        psql.apply_online(place.info.dsn)

        with pytest.raises(psycopg.errors.SerializationFailure):
            old.execute("update public.user_credits set credits_balance = 7")
        old.rollback()

    assert actors.call_as(place, "service_role", None, "reconcile_credits")[0]["problem"] == (
        "a balance is negative"
    )
