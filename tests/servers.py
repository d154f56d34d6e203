"""Where the tests' Postgres comes from: embedded, a container, or any server by address."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from scripts import CommandError
from scripts.local import LOCAL
from scripts.local.postgres import EmbeddedPostgres, programs
from scripts.operate import psql
from scripts.operate.sql_files import all_files

# Tests throw their databases away: nothing has to survive a crash of the machine.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_PASSWORD = "authenticator"  # PostgREST's role, on servers that ask for one
_CONTAINER_IMAGE = os.environ.get("TEST_PG_IMAGE", "postgres:17")
_VERSION = os.environ.get("TEST_PG_VERSION", "18")  # of the embedded server


@dataclass(frozen=True)
class Server:
    """A Postgres server with a template database that has the product installed."""

    backend: str
    address: str  # of its maintenance database
    template: str

    def uri(self, name: str, user: str | None = None) -> str:
        """Return the address of one of its databases, as the owner or as another role."""
        parts = urlsplit(self.address)
        netloc = parts.netloc
        if user is not None:
            netloc = f"{user}:{_PASSWORD}@{netloc.rpartition('@')[2]}"
        return urlunsplit(parts._replace(path=f"/{name}", netloc=netloc))

    def execute(self, statement: sql.Composed) -> None:
        """Run a statement outside a transaction, in the maintenance database."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(statement)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )

    def create(self, name: str, template: str) -> str:
        """Make a database from a template and return its address."""
        self.drop(name)
        self.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return self.uri(name)

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """Lend a database with the product installed, and remove it afterwards."""
        try:
            yield self.create(name, self.template)
        finally:
            self.drop(name)


@contextmanager
def running_server() -> Iterator[Server]:
    """Start, or find, the server that the environment asks for."""
    if address := os.environ.get("TEST_DATABASE_URL"):
        yield _prepared("the server at TEST_DATABASE_URL", address)
    elif os.environ.get("TEST_PG_BACKEND", "embedded") == "container":
        with _container() as (backend, address):
            yield _prepared(backend, address)
    else:
        with _embedded() as embedded:
            yield _prepared("embedded", embedded.uri())


@contextmanager
def _container() -> Iterator[tuple[str, str]]:
    """Start a container on the loopback interface; without a daemon or image, say so and go on."""
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
    from testcontainers.community.postgres import PostgresContainer

    try:
        container = PostgresContainer(_CONTAINER_IMAGE, username="postgres", driver=None)
        container.start()
    except Exception as error:
        if os.environ.get("REQUIRE_CONTAINER"):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"NO CONTAINER of {_CONTAINER_IMAGE}: {reason}", file=sys.stderr)
        with _embedded() as embedded:
            yield f"embedded, because no container of {_CONTAINER_IMAGE} started", embedded.uri()
        return
    os.environ["PGPASSWORD"] = (
        container.password
    )  # for psql and pg_dump; an address may have another
    try:
        yield f"container {_CONTAINER_IMAGE}", container.get_connection_url()
    finally:
        container.stop()


@contextmanager
def _embedded() -> Iterator[EmbeddedPostgres]:
    """Start the embedded server that is kept; processes that test at once get one each."""
    bin_dir = programs(_VERSION)
    name = "postgres" if _VERSION == "18" else f"postgres-{_VERSION}"
    for number in count(1):
        folder = LOCAL / "tests" / (name if number == 1 else f"{name}.{number}")
        kept = EmbeddedPostgres(folder, bin_dir=bin_dir, config=_FAST)
        try:
            kept.start()
        except CommandError as error:
            if "is in use" not in str(error):
                raise
            continue
        try:
            yield kept
        finally:
            kept.stop()
        return


def _prepared(backend: str, address: str) -> Server:
    """Install the product into a template database, named after the SQL that made it."""
    digest = hashlib.sha256()
    for file in all_files():
        digest.update(file.read_bytes())
    server = Server(backend, address, f"session_approval_{digest.hexdigest()[:16]}")
    with psycopg.connect(address, autocommit=True) as connection:
        templates = [
            name
            for (name,) in connection.execute(
                "select datname from pg_database where datname like 'session_approval_%'"
            )
        ]
    if server.template not in templates:
        for stale in templates:
            server.drop(stale)
        making = server.create(f"{server.template}_making", "template0")
        psql.apply(making, [psql.SUPABASE, psql.STARTER, psql.INSTALL])
        server.execute(
            sql.SQL("alter database {} rename to {}").format(
                sql.Identifier(f"{server.template}_making"), sql.Identifier(server.template)
            )
        )
    server.execute(sql.SQL("alter role authenticator password {}").format(sql.Literal(_PASSWORD)))
    return server
