"""Run a selection of the tests on Postgres 15 and 17, in a container, and behind PgBouncer."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from scripts.local import ROOT, StackError, docker
from scripts.local.postgres import programs

_SQL = [
    *(
        f"tests/{noun}"
        for noun in ("people", "credits", "calendar", "sessions", "video", "install")
    ),
    "--each",
]
_SELECTIONS = {
    "15": [*_SQL, "4"],
    "17": [*_SQL, "4"],
    "container": [*_SQL, "2"],
    "pgbouncer": ["tests/api", "--each", "2"],
}


@contextmanager
def server(name: str) -> Iterator[Mapping[str, str]]:
    """Yield the environment that chooses a server; StackError where this machine has none."""
    if name == "container":
        with docker.daemon() as whose:
            image = docker.postgres_image(os.environ.get("TEST_PG_IMAGE", "postgres:17"))
            print(f"{whose}, the image {image}", flush=True)
            yield {
                "TEST_PG_BACKEND": "container",
                "TEST_PG_IMAGE": image,
                "REQUIRE_CONTAINER": "1",
            }
    elif name == "pgbouncer":
        if not shutil.which("pgbouncer"):
            raise StackError("no pgbouncer here: install the package of that name")
        yield {"TEST_PGBOUNCER": "1"}
    else:
        programs(name)
        yield {"TEST_PG_VERSION": name}


def run(name: str, whole: bool) -> bool:
    """Run the selection on one server; say whether it passed."""
    began = time.monotonic()
    with server(name) as environment:
        selection = _SELECTIONS[name]
        if whole:
            selection = selection[: selection.index("--each")]
        command = [sys.executable, "-m", "pytest", "-q", *selection]
        ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    passed = ended.returncode == 0
    print(f"--- {name}: {'passed' if passed else 'FAILED'}, {time.monotonic() - began:.0f} s\n")
    return passed


def main() -> int:
    """Run what was asked for; 1 when a test failed, or when a server was not to be had."""
    parser = argparse.ArgumentParser(prog="make servers ARGS=...", description=__doc__)
    parser.add_argument(
        "servers",
        nargs="*",
        metavar="SERVER",
        help=f"which of them (all): {', '.join(_SELECTIONS)}",
    )
    parser.add_argument("--whole", action="store_true", help="every test, not a selection")
    parser.add_argument(
        "--if-possible",
        action="store_true",
        help="what this machine cannot run is said, and is no failure",
    )
    given = parser.parse_args()
    if unknown := set(given.servers) - set(_SELECTIONS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    failed, missing = [], []
    for name in given.servers or _SELECTIONS:
        print(f"--- {name}", flush=True)
        try:
            if not run(name, given.whole):
                failed.append(name)
        except StackError as error:
            missing.append(name)
            print(f"--- {name}: NOT RUN: {error}\n", flush=True)
    for name in missing:
        print(f"!!! NOT RUN on this machine: {name}", file=sys.stderr)
    for name in failed:
        print(f"!!! FAILED: {name}", file=sys.stderr)
    return 1 if failed or (missing and not given.if_possible) else 0


if __name__ == "__main__":
    sys.exit(main())
