"""The whole product on one machine: Postgres, PostgREST, Daily's stand-in, API and screens."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import psycopg

from scripts.local import ROOT, StackError, database, free_port, hold_port, require_free
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST, binary

DATABASE = "session_approval"
_START_SECONDS = 30.0
_PUBLISHABLE_KEY = "sb_publishable_local"

Progress = Callable[[str], None]


class Stack:
    """The running parts and where they are; leaving it ends every process it started."""

    def __init__(self, folder: Path, progress: Progress = lambda _: None) -> None:
        """Name the folder that keeps the data, and who hears of progress."""
        self.folder = folder
        self.progress = progress
        self._pids = folder / "pids"
        self._ended = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
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
        """Start everything, or end what has started and raise StackError."""
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
        for name, process in self._processes.items():
            if process.poll() is not None:
                return f"{name} stopped by itself; its log is {self._log(name)}"
        return None

    def environment(self) -> dict[str, str]:
        """Return the API's environment: .env.example's variables, with local values."""
        return {
            **os.environ,
            "SUPABASE_URL": self.rest_url,
            "SUPABASE_REST_URL": self.rest_url,
            "SUPABASE_PUBLISHABLE_KEY": _PUBLISHABLE_KEY,
            "SUPABASE_JWT_SECRET": self.jwt_secret(),
            "DAILY_API_KEY": "local-daily-key",
            "DAILY_API_URL": f"{self.daily_url}/v1",
            "DATABASE_URL": self.database_url,
            # Set, so that a developer's .env cannot mix a real project's values in.
            "DAILY_WEBHOOK_SECRET": "",
            "SUPABASE_SECRET_KEY": "",
            "VIDEO_PROVIDER": "",
            "SUPABASE_JWKS_URL": "",
            "SUPABASE_JWT_ISSUER": "",
            "DAILY_DOMAIN_ID": "",
            "REFUSE_ANONYMOUS": "",
            "THERAPIST_AAL": "",
            "COOKIE_AUTH": "",
            "RATE_LIMIT": "",
            "RATE_LIMIT_STORAGE_URL": "",
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
        self._end_leftovers()  # Postgres is ours now, so whoever started these is gone
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
        port = self.daily_url.rpartition(":")[2]
        self._spawn(
            "daily",
            [
                *(sys.executable, "-m", "scripts.local.fake_daily", "--port", port),
                *("--api-key", "local-daily-key", "--domain", "local"),
            ],
            f"{self.daily_url}/control/requests",
        )

        self.progress("API and screens")
        self.api_url = f"http://127.0.0.1:{api_port}"
        self._spawn(
            "api",
            [
                *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{api_port}"),
                "scripts.local.sign_in:create_app()",
            ],
            f"{self.api_url}/healthz",
        )
        (self.folder / "api-url").write_text(self.api_url)  # make token asks there

    def _prepare_database(self) -> None:
        with psycopg.connect(self.postgres.uri(), autocommit=True) as connection:
            known = connection.execute(
                "select from pg_catalog.pg_database where datname = %s", (DATABASE,)
            ).fetchone()
            if known is None:
                self.progress("the database's tables and functions")
                connection.execute(f"create database {DATABASE}")
        database.apply(
            self.database_url,
            [database.SUPABASE, database.STARTER, database.INSTALL, database.DEMO],
        )
        with psycopg.connect(self.database_url) as connection:
            connection.execute(
                "update session_approval.settings set video_base_url = %s", (self.daily_url,)
            )

    def _spawn(self, name: str, command: list[str], answers_at: str) -> None:
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._processes[name] = process
        self._ended.callback(_end, process)
        self._remember(process.pid)
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(answers_at):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self._log(name).read_text(errors="replace")[-2000:]
                raise StackError(f"{name} did not start; its log {self._log(name)} ends:\n{tail}")
            time.sleep(0.05)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _remember(self, pid: int | None) -> None:
        """Note a process, by its pid and its start, for the case that we are killed before it."""
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
            raise StackError(f"{variable} is not a port number: {named!r}")
        return require_free(int(named), variable)
    if preferred is not None:
        try:
            return require_free(preferred, variable)
        except StackError:
            pass
    return free_port()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code < 500
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
