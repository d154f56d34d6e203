"""SQL files, applied with psql as a DBA applies them."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.local import ROOT, StackError
from scripts.local.postgres import WHEEL_BIN

SUPABASE = ROOT / "sql" / "local" / "supabase.sql"
STARTER = ROOT / "sql" / "starter" / "install.sql"
INSTALL = ROOT / "sql" / "install.sql"
DEMO = ROOT / "sql" / "local" / "demo.sql"


def apply(
    database_url: str, files: Iterable[Path], variables: Mapping[str, object] | None = None
) -> None:
    """Apply files to a database, all in one transaction; raise StackError with psql's own words."""
    command = [
        str(WHEEL_BIN / "psql"),
        "-X",
        "-1",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        database_url,
    ]
    for name, value in (variables or {}).items():
        command += ["-v", f"{name}={value}"]
    for file in files:
        command += ["-f", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise StackError(f"psql stopped; nothing was changed:\n{result.stderr.strip()}")
