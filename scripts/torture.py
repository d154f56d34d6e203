"""Prove the credits at full size: a model beside Postgres, and a storm of abandoned requests."""

import argparse
import os
import secrets
import subprocess
import sys
import time

from scripts.local import ROOT

_PROOFS = {
    "the model": "tests/property/test_credits_model.py",
    "the storm": "tests/property/test_credits_concurrently.py",
    "the crowd": "tests/api/test_crowd.py",
}


def main() -> int:
    """Run the proofs, say how each went; 0 when all hold."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="of the model (%(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="of each run (%(default)s)")
    parser.add_argument("--operations", type=int, default=10_000, help="of the storm (%(default)s)")
    parser.add_argument("--calls", type=int, default=500, help="of 32 in the crowd (%(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="of both")
    parser.add_argument("--only", choices=[name.split()[1] for name in _PROOFS], help="this one")
    parser.add_argument("--minutes", type=float, default=20, help="at most (%(default)s)")
    given = parser.parse_args()
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
        f"{given.runs} runs of {given.steps} steps, {given.operations} operations, 32 threads of "
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
            return 1
        if ended.returncode != 0:
            print(f"{name} FAILED after {time.monotonic() - began:.0f} s")
            return 1
        print(f"{name} holds, after {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
