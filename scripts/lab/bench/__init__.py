"""Measure approvals over HTTP and in SQL, and lists with many sessions: ratios first."""

import subprocess
import sys

import click

from scripts import ROOT
from scripts.commands import LazyGroup
from scripts.local import LOCAL

FOLDER = LOCAL / "bench"
# Each with the options that make all of them take about five minutes, or some seconds.
MEASURES: dict[str, tuple[list[str], list[str]]] = {
    "http": ([], ["--seconds", "0.2", "--rounds", "1", "--connections", "1", "--connections", "4"]),
    "approvals": (["--seconds", "3", "--rounds", "1"], ["--seconds", "1", "--rounds", "1"]),
    "sizes": ([], ["--largest", "10000"]),
}


@click.group(
    cls=LazyGroup,
    modules={
        **{name: f"scripts.lab.bench.{name}" for name in MEASURES},
        "publish": "scripts.lab.bench.publish",
        "install": "scripts.lab.bench.install",
    },
    invoke_without_command=True,
    help=f"{__doc__} Without COMMAND: {', '.join(MEASURES)}, one after another.",
    epilog="Exit status: 0 every goal is reached, 1 one is not.",
)
@click.option("--tiny", is_flag=True, help="Only see that it runs.")
@click.option("--publish", is_flag=True, help="Then write docs/benchmarks.md again.")
@click.pass_context
def main(context: click.Context, tiny: bool, publish: bool) -> int:
    """Measure everything, each in a process of its own."""
    if context.invoked_subcommand:
        return 0
    if tiny and publish:
        raise click.UsageError("A tiny run says nothing: it is not published.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = []
    for name, (usual, quick) in MEASURES.items():
        output = ["--output", str(FOLDER / f"{name}.json")]
        results.append(_run(name, *output, *(quick if tiny else usual)))
    if publish and max(results) < 2:
        results.append(_run("publish"))
    return max(results)


def _run(name: str, *options: str) -> int:
    command = [sys.executable, "-m", "scripts", "lab", "bench", name, *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode
