"""Take the SQL and the API apart, one change at a time, and run the tests that matter to each.

Every mutant must be killed by a test, or stand in tests/mutants.toml with the reason why nobody
could tell it from the original. Results are added to build/mutants.jsonl.
"""

import argparse
import hashlib
import json
import queue
import signal
import sys
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch

from scripts.local import ROOT, StackError
from scripts.mutants import python, sql
from scripts.mutants.mutant import Mutant
from scripts.mutants.runner import Result, Runner, keep

RESULTS = ROOT / "build" / "mutants.jsonl"
EQUIVALENT = ROOT / "tests" / "mutants.toml"


def equivalent() -> dict[str, dict[str, str]]:
    """Return the mutants that change nothing that anybody could see: id -> line, why."""
    listed: dict[str, dict[str, str]] = tomllib.loads(EQUIVALENT.read_text())
    return listed


def _earlier() -> dict[str, Result]:
    """Return what earlier runs found, the last result of each."""
    if not RESULTS.exists():
        return {}
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {line["id"]: Result(**line) for line in lines}


def _chosen(given: argparse.Namespace) -> Iterator[Mutant]:
    """Yield the mutants that were asked for."""
    earlier, known = _earlier(), equivalent()
    for kind, generator in (("sql", sql.mutants), ("python", python.mutants)):
        if given.kind not in (None, kind):
            continue
        for mutant in generator():
            if given.only and not any(fnmatch(mutant.id, f"*{part}*") for part in given.only):
                continue
            before = earlier.get(mutant.id)
            if given.resume and before and before.line == mutant.line:
                continue
            if given.survivors and not (before and before.outcome in ("survived", "broken")):
                continue
            excused = known.get(mutant.id)
            if given.list or excused is None or excused["line"] != mutant.line:
                yield mutant


def _work(
    todo: "queue.SimpleQueue[Mutant]", done: "queue.SimpleQueue[Result | Exception]",
    given: argparse.Namespace,
) -> None:  # fmt: skip
    """Run mutants until there are none left, or the time is over."""
    try:
        with Runner(not given.narrow) as runner:
            while time.monotonic() < given.deadline:
                done.put(runner.run(todo.get_nowait(), given.ignore))
    except queue.Empty:
        pass
    except Exception as error:  # told by the thread that waits for it
        done.put(error)


def _stop(given: argparse.Namespace) -> None:
    """Begin no other mutant; what is under way ends, and takes its servers with it."""
    print("Stopping after the mutants that are under way ...", file=sys.stderr)
    given.deadline = 0.0


def main() -> int:
    """Run what was asked for; 0 when every mutant was killed."""
    parser = argparse.ArgumentParser(
        prog="make mutants ARGS=...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kind", choices=("sql", "python"), help="only these")
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="only ids like one of these")
    parser.add_argument("--list", action="store_true", help="name them, and run nothing")
    parser.add_argument("--resume", action="store_true", help="leave out what has a result")
    parser.add_argument("--survivors", action="store_true", help="only what survived before")
    parser.add_argument(
        "--narrow", action="store_true", help="survivors do not meet the wider tests"
    )
    parser.add_argument(
        "--ignore", nargs="+", default=[], metavar="TEST", help="tests to leave out"
    )
    parser.add_argument("--jobs", type=int, default=2, help="at a time (%(default)s)")
    parser.add_argument("--minutes", type=float, default=600, help="begin none after (%(default)s)")
    given = parser.parse_args()
    given.deadline = time.monotonic() + given.minutes * 60

    try:
        mutants = list(_chosen(given))
    except StackError as error:
        sys.exit(f"{error}")
    if given.list:
        for mutant in mutants:
            print(f"{mutant.id}\t{mutant.line}")
        return 0

    # All files mixed, always in the same way: a run that is cut short is a fair sample.
    mutants.sort(key=lambda mutant: hashlib.sha256(mutant.id.encode()).digest())
    todo: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    done: queue.SimpleQueue[Result | Exception] = queue.SimpleQueue()
    for mutant in mutants:
        todo.put(mutant)
    threads = [threading.Thread(target=_work, args=(todo, done, given)) for _ in range(given.jobs)]
    signal.signal(signal.SIGTERM, lambda *_: _stop(given))
    signal.signal(signal.SIGINT, lambda *_: _stop(given))
    for thread in threads:
        thread.start()

    met: Counter[str] = Counter()
    failed = False
    while any(thread.is_alive() for thread in threads) or not done.empty():
        try:
            result = done.get(timeout=1)
        except queue.Empty:
            continue
        if isinstance(result, Exception):
            print(f"!!! {result}", file=sys.stderr)
            failed = True
            continue
        keep(result, RESULTS)
        met[result.outcome] += 1
        print(
            f"{met.total()}/{len(mutants)} {result.outcome:8} {result.seconds:6.1f} s  {result.id}"
            f"  {result.by or result.line}",
            flush=True,
        )
    left = len(mutants) - met.total()
    print(", ".join(f"{number} {outcome}" for outcome, number in met.most_common()), end="")
    print(f", {left} not run" if left else "")
    return 1 if failed or left or met["survived"] or met["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
