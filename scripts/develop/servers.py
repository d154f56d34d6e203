"""Run a selection of the tests on Postgres 15 and 17, in a container, and behind PgBouncer."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click

from scripts import ROOT, CommandError
from scripts.local import docker
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
    """Yield the environment that chooses a server; CommandError where this machine has none."""
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
            raise CommandError("no pgbouncer here: install the package of that name")
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


@click.command(help=f"{__doc__} Without SERVER on all of them, one after another.")
@click.argument("servers", nargs=-1, type=click.Choice(list(_SELECTIONS)))
@click.option("--whole", is_flag=True, help="Every test, not a selection.")
@click.option(
    "--if-possible",
    is_flag=True,
    help="What this machine cannot run is said, and is no failure.",
)
def main(servers: Sequence[str], whole: bool, if_possible: bool) -> int:
    """Return 1 when a test failed, or when a server could not be had."""
    failed, missing = [], []
    for name in servers or _SELECTIONS:
        print(f"--- {name}", flush=True)
        try:
            if not run(name, whole):
                failed.append(name)
        except CommandError as error:
            missing.append(name)
            print(f"--- {name}: NOT RUN: {error}\n", flush=True)
    for name in missing:
        print(f"!!! NOT RUN on this machine: {name}", file=sys.stderr)
    for name in failed:
        print(f"!!! FAILED: {name}", file=sys.stderr)
    return 1 if failed or (missing and not if_possible) else 0
