"""pytest without its start: what the tests import from elsewhere is here, and every run is a fork.

Reads one JSON list of pytest's arguments a line, and answers each with its exit status; a run in
which no test ends for a while is stopped, and answered with "hung". Nothing of the product is
imported before the fork.
"""

import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

QUIET_SECONDS = 90.0  # of a machine that is busy with other things as well
_IMPORTS = (
    *(
        "psycopg",
        "flask",
        "httpx",
        "postgrest",
        "pydantic",
        "jwt",
        "cryptography.hazmat.primitives",
    ),
    *("hypothesis", "jsonschema_rs", "prometheus_client", "limits", "flask_cors", "testcontainers"),
)


def _run(arguments: list[str], log: Path) -> str:
    """Run pytest in a fork, and return its exit status, or "hung"."""
    log.write_bytes(b"")
    child = os.fork()
    if child == 0:
        os.setsid()
        output = os.open(log, os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = 3
        with contextlib.suppress(SystemExit):
            status = int(pytest.main(arguments))
        sys.stdout.flush()
        os._exit(status)

    size, since = 0, time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return str(os.waitstatus_to_exitcode(status))
        if (grown := log.stat().st_size) != size:
            size, since = grown, time.monotonic()
        if time.monotonic() - since > QUIET_SECONDS:
            family = psutil.Process(child)
            for process in [*family.children(recursive=True), family]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            os.waitpid(child, 0)
            return "hung"
        time.sleep(0.02)


def main() -> None:
    """Answer until the input ends."""
    for name in _IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    log = Path(sys.argv[1])
    sys.path.insert(0, str(Path.cwd()))
    for line in sys.stdin:
        print(_run(json.loads(line), log), flush=True)


if __name__ == "__main__":
    main()
