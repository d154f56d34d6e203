"""The parts of these measurements: standbys, API instances, and programs that Debian brings."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from scripts import CommandError
from scripts.lab.availability.people import ISSUER, SECRET
from scripts.local import api_server, free_port
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.processes import Process, answers, end_at_once

_START_SECONDS = 30.0


def program(name: str, package: str) -> Path:
    """Return a program of this machine, or raise CommandError with what to install."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        raise CommandError(f"{name} is not on this machine: apt-get install {package}")
    return Path(found)


def run(measure: Callable[[Path], int]) -> int:
    """Measure in a temporary folder; return 2, and say why, where a part is missing."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every part is ended
    with tempfile.TemporaryDirectory(prefix="sa-scaling-", dir="/tmp") as folder:
        try:
            return measure(Path(folder))
        except CommandError as error:
            print(error, file=sys.stderr)
            return 2


def say(progress: str) -> None:
    """Report progress on stderr, apart from the figures."""
    print(progress, file=sys.stderr, flush=True)


def server_user(server: EmbeddedPostgres) -> str | None:
    """Return the account that a server's programs must run as: its own, where we are root."""
    return server.data.owner() if os.geteuid() == 0 else None


def make_standby(
    primary: EmbeddedPostgres, data: Path, config: dict[str, str] | None = None
) -> EmbeddedPostgres:
    """Copy a running primary and return the standby, which follows it from its start on."""
    user = server_user(primary)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(data, entry.pw_uid, entry.pw_gid)
    source = f"host={primary.data} user=postgres application_name=standby"
    copied = subprocess.run(
        [
            *(primary.bin_dir / "pg_basebackup", "--dbname", source, "--pgdata", data),
            *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"),
        ],
        capture_output=True,
        text=True,
        user=user,
        group=user,
        check=False,
    )
    if copied.returncode != 0:
        raise CommandError(f"pg_basebackup stopped:\n{copied.stderr}")
    (data / ".s.PGSQL.5432.lock").unlink()  # the primary's, whose socket lies in its folder
    return EmbeddedPostgres(data, bin_dir=primary.bin_dir, config=config)


def follow_synchronously(primary: EmbeddedPostgres) -> None:
    """Have every commit of the primary wait for its standby, once that has caught up."""
    with psycopg.connect(primary.uri(), autocommit=True) as db:
        wait_for(
            lambda: db.execute(
                "select true from pg_catalog.pg_stat_replication r where r.state = 'streaming'"
            ).fetchone(),
            "the standby to stream",
        )
        db.execute("alter system set synchronous_standby_names = 'standby'")
        db.execute("select pg_catalog.pg_reload_conf()")
        wait_for(
            lambda: db.execute(
                "select true from pg_catalog.pg_stat_replication r where r.sync_state = 'sync'"
            ).fetchone(),
            "the standby to be synchronous",
        )


def kill(server: EmbeddedPostgres) -> float:
    """Kill all processes of a server at once; return the moment when it was gone."""
    if server.pid is None:
        raise CommandError(f"{server.data} has no server to kill")
    postmaster = psutil.Process(server.pid)
    postmaster.suspend()  # so that no child is born while they are counted
    family = [postmaster, *postmaster.children(recursive=True)]
    end_at_once(family)
    gone = time.monotonic()
    wait_for(lambda: all(map(_has_ended, family)), "the killed processes to end")
    return gone


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_for(met: Callable[[], object], what: str, seconds: float = _START_SECONDS) -> None:
    """Return once a condition is met, or raise CommandError that names it."""
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise CommandError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.01)


class Api:
    """One instance of the API as it is deployed."""

    def __init__(self, rest_url: str, log: Path) -> None:
        """Name the PostgREST that it forwards to."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Process | None = None
        self._rest_url = rest_url
        self._log = log

    def start(self) -> None:
        """Start it and return once it, and all behind it, answers."""
        self.process = api_server.start(self.port, self._log, **self.settings())
        self.process.wait_until(lambda: answers(f"{self.url}/readyz"))

    def settings(self) -> dict[str, str]:
        """Return its settings: no rate limits and no video provider."""
        return {
            "SUPABASE_URL": self._rest_url,
            "SUPABASE_REST_URL": self._rest_url,
            "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_local",
            "SUPABASE_JWT_SECRET": SECRET,
            "SUPABASE_JWT_ISSUER": ISSUER,
            "RATE_LIMIT": "off",
        }

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it as a deployment does."""
        if self.process is not None:
            if how == signal.SIGKILL:  # the workers too: the machine is gone
                end_at_once(psutil.Process(self.process.popen.pid).children(recursive=True))
            self.process.stop(how)


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def bouncer(server: EmbeddedPostgres, folder: Path, held: int) -> Iterator[str]:
    """Run PgBouncer in transaction mode before a server; yield the address of its socket."""
    pgbouncer = program("pgbouncer", "pgbouncer")
    user = server_user(server)
    sockets = folder / "pgbouncer"
    sockets.mkdir()
    (sockets / "users").write_text('"authenticator" ""\n"postgres" ""\n')
    port = free_port()
    (sockets / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.data} port=5432\n"
        "[pgbouncer]\n"
        "pool_mode = transaction\n"
        f"default_pool_size = {held}\n"
        "max_client_conn = 1000\n"
        # Sent by some drivers at their start, and unknown to PgBouncer.
        "ignore_startup_parameters = extra_float_digits\n"
        "auth_type = trust\n"
        f"auth_file = {sockets / 'users'}\n"
        "listen_addr =\n"
        f"listen_port = {port}\n"
        f"unix_socket_dir = {sockets}\n"
    )
    if user is not None:
        shutil.chown(sockets, user)
    running = Process([pgbouncer, sockets / "pgbouncer.ini"], folder / "pgbouncer.log", user=user)
    address = f"postgresql://authenticator@/postgres?host={sockets}&port={port}"
    try:
        running.wait_until(lambda: _connects(address))
        yield address
    finally:
        running.stop()


def _connects(address: str) -> bool:
    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError:
        return False
    return True
