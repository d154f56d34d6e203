"""An install over an earlier release keeps every row and leaves what a fresh install leaves.

Until 1.0.0 the earlier release is a bundle made of an earlier commit of this history. From 1.0.0 on
the bundle of each release is kept in tests/install/releases, and takes its place.
"""

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
from psycopg.types.json import Jsonb

from scripts import ROOT
from scripts.operate import psql
from scripts.operate.bundle import bundle, headed, version
from tests import actors
from tests.actors import Connection, Person, approve, balances, call, call_as, propose
from tests.install.places import HERE, dump, install, roll_back
from tests.servers import Server

RELEASES = HERE / "releases"
AN_EARLIER_COMMIT = "an earlier commit"
# What the install of an earlier commit includes; the first commit that does has today's layout.
MARK = r"\ir install/preconditions.sql"

INSTALLS: dict[str, Callable[[Connection], None]] = {
    "in one transaction": install,
    "online": lambda db: psql.apply_online(db.info.dsn),
}

# Every table but those whose rows are the install's own: they grow with releases.
_TABLES = """
    select c.oid::regclass::text as name,
      string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relkind = 'r' and not a.attisdropped
      and c.relnamespace in ('public'::regnamespace, 'session_approval'::regnamespace)
      and c.relname not in ('transitions', 'installs', 'install_changes')
      and not coalesce(%(removed)s::jsonb -> c.oid::regclass::text ? a.attname, false)
    group by c.oid
"""
# Columns that an upgrade removes, each with what takes its place.
REMOVED = {"session_approval.settings": ["refund_no_show"]}  # refund_unattended
# Half of an announcement's key is the number of its transaction.
_LOCKS = """
    select l.classid::text, case when l.objsubid = 1 then l.objid::text end as key, l.mode
    from pg_locks l
    where l.locktype = 'advisory' and l.pid = pg_backend_pid()
"""


# Where the earlier releases come from.


def kept_bundles(folder: Path, release: str) -> list[Path]:
    """Return the bundles of earlier releases, each as it was published; none before 1.0.0."""
    bundles = sorted(folder.glob("*.sql"))
    if not bundles and int(release.partition(".")[0]) >= 1:
        raise FileNotFoundError(
            f"{release} is a release: keep its bundle (make bundle) in {folder}"
        )
    for file in bundles:
        _, checksum, text = file.read_text().split("\n", 2)
        if hashlib.sha256(text.encode()).hexdigest() not in checksum:
            raise ValueError(f"{file} is not what its checksum says: a release is never edited")
    return bundles


def earlier_commit(repository: Path) -> str:
    """Return the first commit of today's layout; raise if the history does not reach back to it."""
    try:
        commits = _git(
            repository, "log", "--reverse", "--format=%H", f"-S{MARK}", "sql/install.sql"
        )
        first, *_ = commits.decode().split()
        # The first commit of a shallow clone seems to have added every line; it has no parent.
        _git(repository, "rev-parse", "--verify", "--quiet", f"{first}^")
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise LookupError(
            f"the history here does not reach back to the first commit with {MARK}"
            f" (git fetch --unshallow): {error}"
        ) from None
    return first


def bundle_of(commit: str, folder: Path) -> Path:
    """Write the bundle of a commit into a folder, beside the files that it is made of."""
    with tarfile.open(fileobj=io.BytesIO(_git(ROOT, "archive", commit, "sql"))) as archive:
        archive.extractall(folder, filter="data")
    file = folder / "session_approval.sql"
    file.write_text(bundle(folder / "sql" / "install.sql", folder))
    return file


def _git(repository: Path, *arguments: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(repository), *arguments], capture_output=True, check=True
    ).stdout


def missing(reason: str) -> NoReturn:
    """Skip, and say why; where CI=true is set, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def test_a_kept_bundle_replaces_the_earlier_commit(tmp_path: Path) -> None:
    assert kept_bundles(tmp_path, "0.9.0") == []
    file = tmp_path / "1.0.0.sql"

    file.write_text(headed(bundle(psql.INSTALL)))

    assert kept_bundles(tmp_path, "1.1.0") == [file]


def test_a_release_without_a_kept_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"1\.0\.0 is a release"):
        kept_bundles(tmp_path, "1.0.0")


def test_a_kept_bundle_that_was_edited_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.0.0.sql").write_text(headed(bundle(psql.INSTALL)) + "select 1;\n")

    with pytest.raises(ValueError, match="a release is never edited"):
        kept_bundles(tmp_path, "1.0.0")


def test_the_earlier_commit_is_found_and_installs_something_else(tmp_path: Path) -> None:
    try:
        commit = earlier_commit(ROOT)
    except LookupError as error:
        missing(str(error))

    text = bundle_of(commit, tmp_path).read_text()

    assert "create or replace function public.approve_session_and_deduct_credit(" in text
    assert text != bundle(psql.INSTALL)


def test_a_history_that_does_not_reach_back_to_the_commit_is_an_error(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    try:
        _git(ROOT, "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(clone))
    except (OSError, subprocess.CalledProcessError) as error:
        missing(f"git cannot clone this folder: {error}")

    for folder in (clone, tmp_path):  # a shallow clone, and no repository at all
        with pytest.raises(LookupError, match="does not reach back"):
            earlier_commit(folder)


# The earlier release in use.


@pytest.fixture(
    params=kept_bundles(RELEASES, version()) or [AN_EARLIER_COMMIT],
    ids=lambda release: getattr(release, "stem", release),
)
def older(server: Server, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """A connection to a database with an earlier release, and nobody in it yet."""
    release: Path | str = request.param
    if isinstance(release, str):
        try:
            release = bundle_of(earlier_commit(ROOT), tmp_path)
        except LookupError as error:
            missing(str(error))
    name = "test_release"
    address = server.create(name, "template0")
    try:
        psql.apply(address, [psql.SUPABASE, psql.STARTER, release])
        with actors.connect(address) as db:
            yield db
    finally:
        server.drop(name)


def use(db: Connection) -> tuple[Person, Person, dict[str, Any], dict[str, Any]]:
    """Do everything that people do; return the two people, a waiting and a decided session."""
    therapist, client = actors.add_person(db, "therapist"), actors.add_person(db, "individual")
    actors.give_credits(db, client, 2)
    grant(db, client, "pi_1")
    actors.configure(db, low_balance=7, video_base_url="https://example.daily.co")
    cancelled, declined, waiting, decided = (propose(db, therapist, client) for _ in range(4))
    for session in (cancelled, decided):
        approve(db, client, session)
    call(db, therapist, "cancel_session", p_session_id=cancelled["id"])
    call(db, client, "decline_session", p_session_id=declined["id"])
    instant = propose(db, therapist, client, p_is_instant=True)
    approve(db, client, instant)
    call(db, client, "join_session", p_session_id=instant["id"])
    return therapist, client, waiting, decided


def grant(db: Connection, client: Person, reference: str) -> None:
    """Grant credits as the server does for a payment."""
    call_as(
        db,
        "service_role",
        None,
        "grant_credits",
        p_user_id=client.id,
        p_amount=3,
        p_source="stripe",
        p_reference=reference,
    )


def rows(db: Connection, tables: dict[str, str]) -> dict[str, Any]:
    """Return every row of some tables, with these columns."""
    return {
        table: db.execute(
            f"select to_jsonb(t) as row from (select {columns} from {table}) t order by t::text"
        ).fetchall()
        for table, columns in tables.items()
    }


def schema(db: Connection) -> str:
    """Return all of a database but its rows; the columns of a table by name.

    A column that a table lacked is added as its last one.
    """

    def by_name(table: re.Match[str]) -> str:
        columns = sorted(line.rstrip(",") for line in table[2].splitlines())
        return "\n".join([table[1], *columns, ");"])

    return re.sub(
        r"^(CREATE TABLE \S+ \()\n(.*?)\n\);$",
        by_name,
        dump(db, "--schema-only"),
        flags=re.M | re.S,
    )


# Over it.


@pytest.mark.parametrize("installing", INSTALLS.values(), ids=INSTALLS.keys())
def test_an_upgrade_keeps_every_row_and_leaves_what_a_fresh_install_leaves(
    older: Connection, own_database: str, installing: Callable[[Connection], None]
) -> None:
    therapist, client, waiting, decided = use(older)
    kept = older.execute(_TABLES, {"removed": Jsonb(REMOVED)})
    tables = {table["name"]: table["columns"] for table in kept}
    before = rows(older, tables)
    assert len(tables) >= 6
    assert len(before["session_approval.credit_ledger"]) == 6

    installing(older)

    with actors.connect(own_database) as fresh:
        assert schema(older) == schema(fresh)
    assert rows(older, tables) == before
    assert call_as(older, "service_role", None, "reconcile_credits") == []
    assert sum(balances(older, client)) == 3
    for _ in range(2):
        assert approve(older, client, waiting)["status"] == "scheduled"
        assert approve(older, client, decided)["status"] == "scheduled"
        assert sum(balances(older, client)) == 2, "only the waiting one is paid now, and only once"
    call(older, therapist, "cancel_session", p_session_id=decided["id"])
    assert sum(balances(older, client)) == 3
    assert call_as(older, "service_role", None, "reconcile_credits") == []


def test_a_session_from_before_the_upgrade_holds_its_time_after_it(older: Connection) -> None:
    therapist, client, waiting, decided = use(older)

    install(older)

    for session in (waiting, decided):
        with pytest.raises(psycopg.Error) as caught:
            propose(older, therapist, client, p_start_time=session["start_time"])
        assert (caught.value.sqlstate, caught.value.diag.message_hint) == (
            "PT409",
            "TIME_SLOT_CONFLICT",
        )


def test_acts_that_began_before_the_upgrade_and_acts_after_it_take_the_same_locks(
    older: Connection,
) -> None:
    """The first still run while the others begin: they must wait for one another."""
    therapist, client = (
        actors.add_person(older, "therapist"),
        actors.add_person(older, "individual"),
    )

    def locks() -> set[tuple[str, ...]]:
        with older.transaction(force_rollback=True):
            propose(older, therapist, client)
            grant(older, client, "pi_2")
            older.execute(
                "insert into public.sessions (therapist_id, user_id, start_time, end_time)"
                " values (%s, %s, now(), now() + interval '1 hour')",
                (therapist.id, client.id),
            )
            return {tuple(lock.values()) for lock in older.execute(_LOCKS)}

    before = locks()
    assert len(before) == 5  # two calendars, one payment, two announcements

    install(older)

    assert locks() == before


def test_an_upgraded_database_can_be_rolled_back_and_installed_again(older: Connection) -> None:
    use(older)
    install(older)

    roll_back(older, "drop")
    assert "session_approval" not in re.sub(r"--.*", "", dump(older, "--schema-only"))

    install(older)
    sessions = older.execute("select count(*) as n from public.sessions").fetchall()
    assert sessions == [{"n": 5}]
