"""SQL files, applied with psql as a DBA applies them."""

import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.local import ROOT, StackError
from scripts.local.postgres import WHEEL_BIN

SUPABASE = ROOT / "sql" / "local" / "supabase.sql"
STARTER = ROOT / "sql" / "starter" / "install.sql"
INSTALL = ROOT / "sql" / "install.sql"
ONLINE = ROOT / "sql" / "online" / "install.sql"
DEMO = ROOT / "sql" / "local" / "demo.sql"

_PSQL = (str(WHEEL_BIN / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1")
_LOCK_NOT_AVAILABLE = "55P03"


def apply(
    database_url: str, files: Iterable[Path], variables: Mapping[str, object] | None = None
) -> None:
    """Apply files to a database, all in one transaction; raise StackError with psql's own words."""
    command = [*_PSQL, "-1", "-d", database_url]
    for name, value in (variables or {}).items():
        command += ["-v", f"{name}={value}"]
    for file in files:
        command += ["-f", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise StackError(f"psql stopped; nothing was changed:\n{result.stderr.strip()}")


def apply_online(database_url: str, tries: int = 10, pause: float = 5.0) -> None:
    """Install online, which prints its steps, again when a lock was not to be had.

    It goes on where it was; raise StackError with psql's own words when it cannot.
    """
    for left in reversed(range(tries)):
        result = subprocess.run(
            [*_PSQL, "-v", "VERBOSITY=verbose", "-d", database_url, "-f", str(ONLINE)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if result.returncode == 0:
            return
        if _LOCK_NOT_AVAILABLE not in result.stderr or left == 0:
            raise StackError(f"psql stopped; run it again to go on:\n{result.stderr.strip()}")
        print(f"{result.stderr.strip()}\nAgain in {pause:g} s; tries left: {left} ...", flush=True)
        time.sleep(pause)
