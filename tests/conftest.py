"""Fixtures that read like people, on a real Postgres."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest

from scripts.local import LOCAL
from scripts.local.postgres import WHEEL_BIN
from tests import actors
from tests.actors import Connection, Person
from tests.house import sizes
from tests.servers import Server, running_server

_SERVER = pytest.StashKey[Server]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be short: python -m scripts servers asks for one test of each file."""
    parser.addoption("--each", type=int, metavar="N", help="run the first N tests of each file")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the first N tests of each file, where that is asked for."""
    if (wanted := config.getoption("each")) is None:
        return
    met: Counter[Path] = Counter()
    kept, left = [], []
    for item in items:
        met[item.path] += 1
        (kept if met[item.path] <= wanted else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Test in a process for each core, each with its own server; where one is given, in one."""
    return 0 if "TEST_DATABASE_URL" in os.environ else min(os.cpu_count() or 1, 4)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test that is marked alone have the machine while it measures; others go beside."""
    folder = LOCAL / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gate.lock").open("w") as gate, (folder / "turn.lock").open("w") as turn:
        fcntl.flock(gate, fcntl.LOCK_EX)  # whoever waits for a turn keeps the next behind
        alone = item.get_closest_marker("alone") is not None
        fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Start the server before the header, so that the header can say which one it is."""
    # The tests' psql is the embedded one: psycopg's addresses say what an older psql does not know.
    os.environ["PATH"] = f"{WHEEL_BIN}{os.pathsep}{os.environ['PATH']}"
    if config.option.collectonly or config.option.help or _distributes(config):
        return
    lent = ExitStack()
    config.stash[_SERVER] = lent.enter_context(running_server())
    config.add_cleanup(lent.close)


def _distributes(config: pytest.Config) -> bool:
    """Whether this process runs no test itself, but has others run them."""
    return config.getoption("dist", "no") != "no" and bool(config.getoption("tx", None))


def pytest_report_header(config: pytest.Config) -> str:
    """Say which Postgres the tests run on."""
    if _SERVER not in config.stash:
        return "postgres: " + ("one for each process" if _distributes(config) else "not started")
    server = config.stash[_SERVER]
    with actors.connect(server.address) as db:
        row = db.execute("show server_version").fetchone()
    return f"postgres: {row and row['server_version']}, {server.backend}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how large the house is, after a run of everything."""
    options = terminalreporter.config.option
    if not (options.file_or_dir or options.collectonly):
        terminalreporter.write_sep("=", "lines of code")
        for line in sizes.report():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Server:
    """The Postgres server of this run."""
    return pytestconfig.stash[_SERVER]


@pytest.fixture
def own_database(server: Server) -> Iterator[str]:
    """The address of a database of this test's own, for what must commit."""
    with server.database(f"test_{uuid4().hex[:12]}") as address:
        yield address


@pytest.fixture(scope="session")
def shared_database(server: Server) -> Iterator[str]:
    """The address of a database whose tests all roll back."""
    with server.database(f"test_shared_{uuid4().hex[:8]}") as address:
        yield address


@pytest.fixture
def db(shared_database: str) -> Iterator[Connection]:
    """A connection whose every change is rolled back."""
    with actors.connect(shared_database, autocommit=False) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def therapist(db: Connection) -> Person:
    """A therapist."""
    return actors.add_person(db, "therapist")


@pytest.fixture
def client(db: Connection) -> Person:
    """A client without credits."""
    return actors.add_person(db, "individual")


@pytest.fixture
def stranger(db: Connection) -> Person:
    """A client who has nothing to do with the others."""
    return actors.add_person(db, "individual")


@pytest.fixture
def now(db: Connection) -> datetime:
    """The moment at which everything in this test happens: a transaction's clock stands still."""
    [clock] = db.execute("select now()").fetchall()
    moment: datetime = clock["now"]
    return moment


class Refusal:
    """What a refused call said."""

    details: Any = None
    message: str = ""


class Refused(Protocol):
    """Expect a refusal with an HTTP status and a code."""

    def __call__(self, status: int, code: str) -> AbstractContextManager[Refusal]: ...


@pytest.fixture
def refused(db: Connection) -> Refused:
    """Expect a refusal; the transaction goes on after it."""

    @contextmanager
    def expect(status: int, code: str) -> Iterator[Refusal]:
        refusal = Refusal()
        with pytest.raises(psycopg.Error) as caught, db.transaction():
            yield refusal
        said = caught.value.diag
        assert (said.sqlstate, said.message_hint) == (f"PT{status}", code), caught.value
        refusal.details = json.loads(said.message_detail or "null")
        refusal.message = said.message_primary or ""

    return expect
