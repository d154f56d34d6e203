"""A PgBouncer in transaction mode, as poolers of hosted Postgres are, in front of one database."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import psycopg

from scripts.local import free_port
from scripts.local.postgres import SYSTEM_USER

# What PostgREST needs to know of it: no connection is its own beyond one transaction.
POSTGREST = {"PGRST_DB_PREPARED_STATEMENTS": "false", "PGRST_DB_CHANNEL_ENABLED": "false"}
_CONNECTIONS = 5  # fewer than PostgREST's own, and taken in turn, so that they do change hands


@contextmanager
def pooled(address: str) -> Iterator[str]:
    """Lend the address of a PgBouncer that leads to this one, as the same role."""
    target = urlsplit(address)
    user, password = target.username or "", unquote(target.password or "")
    host = target.hostname or parse_qs(target.query)["host"][0]
    database = target.path.removeprefix("/")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        (folder / "users").write_text(f'"{user}" "{password}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n{database} = host={host} port={target.port or 5432}\n"
            "[pgbouncer]\n"
            "pool_mode = transaction\n"
            f"default_pool_size = {_CONNECTIONS}\nmin_pool_size = {_CONNECTIONS}\n"
            "server_round_robin = 1\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {folder / 'users'}\n"
            "ignore_startup_parameters = extra_float_digits\n"
        )
        as_user = SYSTEM_USER if os.geteuid() == 0 else None  # it refuses to run as root
        for file in (folder, *folder.iterdir()):
            shutil.chown(file, as_user or os.geteuid())
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["pgbouncer", folder / "pgbouncer.ini"],
                stdout=log,
                stderr=log,
                user=as_user,
                group=as_user,
            )
        pooled_address = (
            f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{port}/{database}"
        )
        try:
            deadline = time.monotonic() + 20
            while not _answers(pooled_address):
                said = (folder / "log").read_text()
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.05)
            yield pooled_address
        finally:
            process.terminate()
            process.wait(10)


def _answers(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
