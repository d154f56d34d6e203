"""The product as it is deployed, with every part supervised and every connection relayed."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from scripts import CommandError
from scripts.lab.torture.processes import Kept
from scripts.lab.torture.wires import Wire, socket_wire, tcp_wire
from scripts.local import api_server, free_port
from scripts.local.fake_daily.command import command_line
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST, binary
from scripts.local.processes import Process, environment
from scripts.local.stack import DAILY_KEY, DATABASE, Stack
from scripts.operate import psql

DISK_MEGABYTES = 768
_START_SECONDS = 60.0

Row = dict[str, Any]


class Disk:
    """A small file system of its own, for Postgres's data and its log."""

    def __init__(self, folder: Path) -> None:
        """Mount it, or raise CommandError with the reason why that cannot be done here."""
        self.folder = folder
        self._balloon = folder / "balloon"
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0 or not sys.platform.startswith("linux"):
            raise CommandError("mounting a small file system takes root on Linux")
        options = f"size={DISK_MEGABYTES}m,mode=0700"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            raise CommandError(f"a small file system cannot be mounted: {mounted.stderr.strip()}")

    def fill(self) -> None:
        """Take every byte that is left."""
        with self._balloon.open("ab") as balloon:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(
                            balloon.fileno(), os.fstat(balloon.fileno()).st_size, size
                        )

    def free(self) -> None:
        """Give it back."""
        self._balloon.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Remove the file system with its files."""
        subprocess.run(["umount", "--lazy", self.folder], check=False)


class Clock:
    """A wrong clock for a process, by libfaketime."""

    def __init__(self) -> None:
        """Find the library, or raise CommandError with the reason why there is none here."""
        spec = find_spec("libfaketime")
        found = [
            library
            for folder in (spec.submodule_search_locations or [] if spec else [])
            for library in Path(folder).rglob("libfaketime.so.1")
        ]
        if not found:
            raise CommandError("libfaketime is not there for this machine")
        self._library = str(found[0])
        told = subprocess.run(
            [sys.executable, "-c", "import time; print(time.time())"],
            env={**os.environ, **self.environment(1000)},
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode != 0 or float(told.stdout) < time.time() + 900:
            raise CommandError("libfaketime does not work here")

    def environment(self, seconds: int) -> dict[str, str]:
        """The environment of a process whose clock is so many seconds ahead, or behind."""
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME": f"{seconds:+d}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # a clock that is wrong still measures durations
            "NO_FAKE_STAT": "1",
        }


class Stage:
    """Everything that runs; as a context manager it ends what it started."""

    def __init__(self, folder: Path, progress: Callable[[str], None]) -> None:
        """Name a folder for it, with a short path, and who hears of progress."""
        self.folder = folder
        self.progress = progress
        self.missing: dict[str, str] = {}  # what cannot be done here, and why
        self.disk: Disk | None = None
        self.clock: Clock | None = None
        self.api_url = self.rest_url = self.daily_url = ""
        self.drifting_url: str | None = None  # of a second API, whose clock is wrong
        self.secret = Stack(folder).jwt_secret()
        self.issuer = ""
        self._server = EmbeddedPostgres(folder / "pg")
        self._ended = AsyncExitStack()

    @property
    def database_url(self) -> str:
        """The database's address as its owner, without the relays."""
        return self._server.uri(DATABASE)

    @property
    def log(self) -> Path:
        """The API's log."""
        return self.folder / "api.log"

    def query(self, statement: str, *values: object) -> list[Row]:
        """Ask the database itself, without the relays."""
        with psycopg.connect(
            self.database_url, autocommit=True, connect_timeout=2, row_factory=dict_row
        ) as db:
            asked = db.execute(statement, values)
            return asked.fetchall() if asked.description else []

    async def __aenter__(self) -> "Stage":
        """Start everything, or end what has started."""
        try:
            await self._start()
        except BaseException:
            await self._ended.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        await self._ended.aclose()

    async def _start(self) -> None:
        self.progress("Postgres")
        await asyncio.to_thread(self._start_postgres)

        self.progress("PostgREST")
        binary()
        wire_folder = self.folder / "wire"
        wire_folder.mkdir()
        self.to_postgres = socket_wire(
            wire_folder / ".s.PGSQL.5432", self._server.data / ".s.PGSQL.5432"
        )
        await self._opened(self.to_postgres)
        address = f"postgresql://authenticator@/{DATABASE}?host={wire_folder}"
        rest = PostgREST(address, self.secret, self.folder / "postgrest.log")
        self.to_rest, rest_port = tcp_wire(rest.port)
        self.rest_url = f"http://127.0.0.1:{rest_port}"
        await self._opened(self.to_rest)
        self.rest = self._kept(rest.launch)

        self.progress("Daily's stand-in")
        daily_port = free_port()
        self.daily_url = f"http://127.0.0.1:{daily_port}"
        daily = command_line(daily_port, DAILY_KEY, "local")
        log = self.folder / "daily.log"
        self.daily = self._kept(lambda: Process(daily, log, environment()).popen)
        await self._answers(f"{self.daily_url}/control/requests")

        self.progress("the API")
        try:
            self.clock = Clock()
        except CommandError as error:
            self.missing["clock"] = str(error)
        self.api, self.api_url = self._served("api", {})
        self.issuer = f"{self.rest_url}/auth/v1"
        await self._answers(f"{self.api_url}/readyz")

    async def drift(self, seconds: int) -> None:
        """Start a second API beside the first, on a machine whose clock is wrong."""
        assert self.clock is not None  # noqa: S101 - without a clock nothing asks
        self._drifting, url = self._served("drifting", self.clock.environment(seconds))
        await self._answers(f"{url}/healthz")
        self.drifting_url = url

    def stop_drifting(self) -> None:
        """Send no more requests to the second API; it answers those that it has begun."""
        self.drifting_url = None
        threading.Thread(target=self._drifting.let_go).start()

    def _served(self, name: str, clock: dict[str, str]) -> tuple[Kept, str]:
        port = free_port()
        stack = Stack(self.folder)
        stack.rest_url, stack.daily_url = self.rest_url, self.daily_url
        settings = {**stack.settings(), **clock}
        log = self.folder / f"{name}.log"
        kept = self._kept(lambda: api_server.start(port, log, **settings).popen)
        return kept, f"http://127.0.0.1:{port}"

    def _start_postgres(self) -> None:
        try:
            self.disk = Disk(self._server.data)
            self._ended.callback(self.disk.unmount)
        except CommandError as error:
            self.missing["disk"] = str(error)
        # A small file system holds little of the log; nothing else differs from Postgres's own.
        self._server.config = {"max_wal_size": "96MB", "min_wal_size": "32MB"}
        with self._server:  # once in peace, for what the supervisor's starts then find
            with psycopg.connect(self._server.uri(), autocommit=True) as connection:
                connection.execute(f"create database {DATABASE}")
            psql.apply(self.database_url, [psql.SUPABASE, psql.STARTER, psql.INSTALL])
        self.postgres = Kept(self._server.launch)
        self._ended.callback(self.postgres.let_go, signal.SIGINT)
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.query("select")
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _kept(self, launch: Callable[[], subprocess.Popen[bytes]]) -> Kept:
        kept = Kept(launch)
        self._ended.push_async_callback(asyncio.to_thread, kept.let_go)
        return kept

    async def _opened(self, wire: Wire) -> None:
        await wire.open()
        self._ended.push_async_callback(wire.close)

    async def _answers(self, url: str) -> None:
        until = time.monotonic() + _START_SECONDS
        async with httpx.AsyncClient(timeout=2) as client:
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get(url)).status_code == 200:
                        return
                if time.monotonic() > until:
                    raise CommandError(f"{url} does not answer; the logs are in {self.folder}")
                await asyncio.sleep(0.05)
