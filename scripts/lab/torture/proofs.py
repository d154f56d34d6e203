"""Proofs at full size: a model and a storm for the credits, a crowd for the answers."""

import argparse
import os
import subprocess
import sys
import time

from scripts.local import ROOT

_PROOFS = {
    "the model": "tests/property/test_credits_model.py",
    "the storm": "tests/property/test_credits_concurrently.py",
    "the crowd": "tests/api/test_crowd.py",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name the sizes of the proofs."""
    parser.add_argument("--runs", type=int, default=500, help="of the model (%(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="of each run (%(default)s)")
    parser.add_argument("--operations", type=int, default=10_000, help="of the storm (%(default)s)")
    parser.add_argument("--calls", type=int, default=500, help="of 32 in the crowd (%(default)s)")
    parser.add_argument(
        "--only", choices=[name.split()[1] for name in _PROOFS], help="this proof, and no faults"
    )


def hold(given: argparse.Namespace) -> bool:
    """Run the proofs, say how each went, and whether all hold."""
    deadline = time.monotonic() + given.minutes * 60
    environment = {
        **os.environ,
        "MODEL_RUNS": str(given.runs),
        "MODEL_STEPS": str(given.steps),
        "STORM_OPERATIONS": str(given.operations),
        "STORM_SEED": str(given.seed),
        "CROWD_CALLS": str(given.calls),
        "CROWD_SEED": str(given.seed),
    }
    print(
        f"\n{given.runs} runs of {given.steps} steps, {given.operations} operations, 32 threads of "
        f"{given.calls} calls (--seed {given.seed}), {given.minutes:g} minutes at most."
    )
    for name, file in _PROOFS.items():
        if given.only and name != f"the {given.only}":
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
            print(f"{name} was still going after {given.minutes:g} minutes: give it more --minutes")
            return False
        if ended.returncode != 0:
            print(f"{name} FAILED after {time.monotonic() - began:.0f} s")
            return False
        print(f"{name} holds, after {time.monotonic() - began:.0f} s", flush=True)
    return True
