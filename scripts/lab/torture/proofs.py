"""Proofs at full size: a model and a storm for the credits, a crowd for the answers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from scripts import ROOT

_PROOFS = {
    "the model": "tests/property/test_credits_model.py",
    "the storm": "tests/property/test_credits_concurrently.py",
    "the crowd": "tests/api/test_crowd.py",
}


_OPTIONS = (
    click.option("--runs", type=int, default=500, show_default=True, help="Of the model."),
    click.option("--steps", type=int, default=50, show_default=True, help="Of each run."),
    click.option("--operations", type=int, default=10_000, show_default=True, help="Of the storm."),
    click.option(
        "--calls", type=int, default=500, show_default=True, help="Of 32 people in the crowd."
    ),
    click.option(
        "--only",
        type=click.Choice([name.split()[1] for name in _PROOFS]),
        help="This proof, and no faults.",
    ),
)


def options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the sizes of the proofs to a command's options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Sizes:
    """How much each proof does."""

    runs: int
    steps: int
    operations: int
    calls: int
    only: str | None


def hold(sizes: Sizes, seed: int, minutes: float) -> bool:
    """Run the proofs, say how each went, and return whether all hold."""
    deadline = time.monotonic() + minutes * 60
    environment = {
        **os.environ,
        "MODEL_RUNS": str(sizes.runs),
        "MODEL_STEPS": str(sizes.steps),
        "STORM_OPERATIONS": str(sizes.operations),
        "STORM_SEED": str(seed),
        "CROWD_CALLS": str(sizes.calls),
        "CROWD_SEED": str(seed),
    }
    print(
        f"\n{sizes.runs} runs of {sizes.steps} steps, {sizes.operations} operations, 32 threads of"
        f" {sizes.calls} calls (--seed {seed}), {minutes:g} minutes at most."
    )
    for name, file in _PROOFS.items():
        if sizes.only and name != f"the {sizes.only}":
            continue
        print(f"\n{name}:", flush=True)
        began = time.monotonic()
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "pytest", "-rP", file],
                cwd=ROOT,
                env=environment,
                timeout=max(deadline - began, 1),
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"{name} was still going after {minutes:g} minutes: give it more --minutes")
            return False
        if ended.returncode != 0:
            print(f"{name} FAILED after {time.monotonic() - began:.0f} s")
            return False
        print(f"{name} holds, after {time.monotonic() - began:.0f} s", flush=True)
    return True
