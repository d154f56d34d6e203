"""The whole product on one machine: Postgres, PostgREST, Daily's stand-in, API and screens."""

import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import psycopg

from scripts import CommandError
from scripts.local import api_server, free_port, hold_port, require_free
from scripts.local.fake_daily.command import command_line
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST, binary
from scripts.local.processes import Process, answers, environment
from scripts.operate import psql

DATABASE = "session_approval"
DAILY_KEY = "local-daily-key"
_PUBLISHABLE_KEY = "sb_publishable_local"
_PATIENCE = 10.0  # seconds for a part to end

Progress = Callable[[str], None]


class Stack:
    """The running parts and where they are; leaving it ends every process it started."""

    def __init__(self, folder: Path, progress: Progress = lambda _: None) -> None:
        """Name the folder that keeps the data, and who hears of progress."""
        self.folder = folder
        self.progress = progress
        self._pids = folder / "pids"
        self._ended = ExitStack()
        self._processes: list[Process] = []
        self.postgres = EmbeddedPostgres(folder / "postgres")
        self.rest: PostgREST | None = None
        self.api_url = ""
        self.daily_url = ""
        self.rest_url = ""

    @property
    def database_url(self) -> str:
        """The address of the product's database, as its owner."""
        return self.postgres.uri(DATABASE)

    def __enter__(self) -> "Stack":
        """Start everything, or end what has started and raise CommandError."""
        try:
            self._start()
        except BaseException:
            self._ended.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process, the API first, Postgres last."""
        self._ended.close()

    def ended_part(self) -> str | None:
        """Name a part that has stopped by itself, None while all run."""
        for process in self._processes:
            if process.popen.poll() is not None:
                return f"{process.log.stem} stopped by itself; its log is {process.log}"
        return None

    def settings(self) -> dict[str, str]:
        """Return the API's settings, with local values."""
        return {
            "SUPABASE_URL": self.rest_url,
            "SUPABASE_REST_URL": self.rest_url,
            "SUPABASE_PUBLISHABLE_KEY": _PUBLISHABLE_KEY,
            "SUPABASE_JWT_SECRET": self.jwt_secret(),
            "DAILY_API_KEY": DAILY_KEY,
            "DAILY_API_URL": f"{self.daily_url}/v1",
            "DATABASE_URL": self.database_url,  # the local sign-in reads the people there
        }

    def jwt_secret(self) -> str:
        """Return the secret that signs local tokens, made on first use and kept."""
        file = self.folder / "jwt-secret"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(48))
        return file.read_text()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        api_port = _port("PORT", 8000)
        self._ended.enter_context(hold_port(api_port))
        self.daily_url = f"http://127.0.0.1:{_port('DAILY_PORT')}"
        rest_port = _port("POSTGREST_PORT")

        self.progress("Postgres")
        self.postgres.start()
        self._ended.callback(self.postgres.stop)
        self._end_leftovers()  # Postgres is ours now, so the process that started these is gone
        self._prepare_database()

        self.progress("PostgREST")
        binary()
        self.rest = PostgREST(
            self.postgres.uri(DATABASE, "authenticator"),
            self.jwt_secret(),
            self._log("postgrest"),
            rest_port,
        )
        self._ended.callback(self.rest.stop)
        self.rest.start()
        self._remember(self.rest.pid)
        self.rest_url = self.rest.url

        self.progress("Daily's stand-in")
        port = int(self.daily_url.rpartition(":")[2])
        command = command_line(port, DAILY_KEY, "local")
        daily = Process(command, self._log("daily"), environment())
        self._keep(daily, f"{self.daily_url}/control/requests")

        self.progress("API and screens")
        self.api_url = f"http://127.0.0.1:{api_port}"
        app = "scripts.local.sign_in:create_app()"
        api = api_server.start(api_port, self._log("api"), app, **self.settings())
        self._keep(api, f"{self.api_url}/healthz")
        (self.folder / "api-url").write_text(self.api_url)  # make token asks there

    def _prepare_database(self) -> None:
        with psycopg.connect(self.postgres.uri(), autocommit=True) as connection:
            known = connection.execute(
                "select from pg_catalog.pg_database where datname = %s", (DATABASE,)
            ).fetchone()
            if known is None:
                self.progress("the database's tables and functions")
                connection.execute(f"create database {DATABASE}")
        psql.apply(self.database_url, [psql.SUPABASE, psql.STARTER, psql.INSTALL, psql.DEMO])
        with psycopg.connect(self.database_url) as connection:
            connection.execute(
                "update session_approval.settings set video_base_url = %s", (self.daily_url,)
            )

    def _keep(self, process: Process, answers_at: str) -> None:
        """Wait until a part answers, and end it together with the stack."""
        self._processes.append(process)
        self._ended.callback(process.stop, patience=_PATIENCE)
        self._remember(process.popen.pid)
        process.wait_until(lambda: answers(answers_at))

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _remember(self, pid: int | None) -> None:
        """Note a process by its pid and its start, in case this process is killed before it."""
        with self._pids.open("a") as file:
            file.write(f"{pid} {psutil.Process(pid).create_time()}\n")

    def _end_leftovers(self) -> None:
        """End the processes of a stack that was killed before it could do so."""
        if self._pids.exists():
            for line in self._pids.read_text().splitlines():
                pid, began = line.split()
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(int(pid))
                    if process.create_time() == float(began):
                        process.terminate()
                        process.wait(10)
            self._pids.unlink()


def _port(variable: str, preferred: int | None = None) -> int:
    """Return the port that the environment names, else the preferred one if free, or any."""
    named = os.environ.get(variable)
    if named:
        if not (named.isdigit() and 0 < int(named) < 65536):
            raise CommandError(f"{variable} is not a port number: {named!r}")
        return require_free(int(named), variable)
    if preferred is not None:
        try:
            return require_free(preferred, variable)
        except CommandError:
            pass
    return free_port()
