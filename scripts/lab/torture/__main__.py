"""Run everything under faults and hold its history true; then the credits and the answers.

Hundreds of people propose, approve, decline, cancel, join, finish and look over HTTP, grant and
sweep as operators, and write past the functions, while processes are killed, connections cut, the
disk filled, Daily spoiled and an API's clock set wrong. Every answer is recorded, and afterwards
held against the database.
"""

import argparse
import asyncio
import os
import random
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from scripts.lab.torture import proofs
from scripts.lab.torture.checker import Books, Violation, check
from scripts.lab.torture.crowd import Crowd
from scripts.lab.torture.faults import NONE, Fault, commit, faults
from scripts.lab.torture.history import History
from scripts.lab.torture.stage import Stage
from scripts.local import StackError

_WARM_UP = 2.0  # seconds before the first fault
_SHOWN = 20  # violations, of each run


def main() -> int:
    """Run what was asked for; 0 when all of it holds."""
    parser = argparse.ArgumentParser(
        prog="make torture", description=__doc__.partition("\n")[0], epilog=__doc__
    )
    parser.add_argument("--minutes", type=float, default=20, help="of faults (%(default)g)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="of every draw")
    parser.add_argument("--therapists", type=int, default=80, help="(%(default)s)")
    parser.add_argument("--clients", type=int, default=240, help="(%(default)s)")
    parser.add_argument(
        "--rate", type=float, default=60, help="requests a second to aim at (%(default)g)"
    )
    parser.add_argument(
        "--calm",
        type=float,
        default=2,
        help="seconds without a failure between faults (%(default)g)",
    )
    parser.add_argument(
        "--within",
        type=float,
        default=2,
        help="seconds to be back after a fault, beside what any answer takes (%(default)g)",
    )
    parser.add_argument("--history", type=Path, help="keep the history there, as JSON lines")
    parser.add_argument("--keep", action="store_true", help="keep the logs, and say where")
    parser.add_argument(
        "--faults-only", action="store_true", help="leave out the proofs after them"
    )
    proofs.add_arguments(parser)
    given = parser.parse_args()
    print(f"--seed {given.seed}", flush=True)
    try:
        held = bool(given.only) or asyncio.run(_under_faults(given))
    except asyncio.CancelledError:
        print("Stopped.")
        return 130
    if not given.faults_only:
        held &= proofs.hold(given)
    return 0 if held else 1


def _stop_on_signals() -> None:
    """Have the first SIGINT or SIGTERM end everything in order, and others not disturb that."""
    running = asyncio.current_task()
    stopped: list[int] = []

    def stop() -> None:
        if running is not None and not stopped:
            stopped.append(1)
            running.cancel()

    for told in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(told, stop)


async def _under_faults(given: argparse.Namespace) -> bool:
    _stop_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="sa-", dir="/tmp"))
    began = time.monotonic()

    def progress(what: str) -> None:
        seconds = int(time.monotonic() - began)
        print(f"[{seconds // 60:02d}:{seconds % 60:02d}] {what}", flush=True)

    history = History()
    try:
        async with Stage(folder, lambda part: progress(f"starting {part}")) as stage:
            for what, why in stage.missing.items():
                progress(f"NOT tried, the {what}: {why}")
            with (given.history or folder / "history.jsonl").open("w") as history.file:
                crowd = Crowd(stage, history, given.seed, given.therapists, given.clients, 1.0)
                await asyncio.to_thread(crowd.settle)
                crowd.pause = len(crowd.people) / given.rate
                await _torture(given, stage, crowd, progress)
                books = await asyncio.to_thread(Books.read, stage.query)
        violations = check(history, books)
    except StackError as error:
        print(error, file=sys.stderr)
        return False
    finally:
        if given.keep:
            print(f"The logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return _told(given, history, books, violations)


async def _torture(
    given: argparse.Namespace, stage: Stage, crowd: Crowd, progress: Callable[[str], None]
) -> None:
    chance = random.Random(f"{given.seed} faults")  # noqa: S311 - repeatable, not secret
    until = time.monotonic() + given.minutes * 60
    living = asyncio.create_task(crowd.live())
    waiting: list[Fault] = []
    try:
        await asyncio.sleep(min(_WARM_UP, given.calm))
        while time.monotonic() < until:
            waiting = waiting or faults(stage, chance)
            lasts = chance.uniform(1, 2) * given.calm
            trouble = await commit(waiting.pop(), lasts, crowd, given.calm)
            crowd.history.add(trouble)
            back = "is not back" if trouble.back is None else f"back after {trouble.back:.2f} s"
            progress(f"{trouble.fault}: {back}; {len(crowd.history.attempts):,} requests so far")
        crowd.stop()
        await living
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        await crowd.close()
    await asyncio.to_thread(_wait_for_those_who_hung_up, stage)


def _wait_for_those_who_hung_up(stage: Stage) -> None:
    """Return once nothing is under way any more for people who did not wait for it."""
    until = time.monotonic() + 30
    quiet = 0
    while quiet < 10:
        if time.monotonic() > until:
            raise StackError("A request that nobody waits for goes on and on")
        busy = stage.query(
            "select from pg_stat_activity where usename = 'authenticator' and state <> 'idle'"
        )
        quiet = 0 if busy else quiet + 1
        time.sleep(0.05)


def _told(
    given: argparse.Namespace, history: History, books: Books, violations: list[Violation]
) -> bool:
    """Say how it went, and whether all is well."""
    times = defaultdict(list)
    for trouble in history.troubles:
        times[trouble.fault].append(trouble.back)
    heads = f"{'fault':34}{'times':>6}{'min':>7}{'median':>8}{'max':>7}"
    print(f"\n{heads}   back within {given.within:g} s, beside what any answer takes")
    late = 0
    usual = statistics.median(back or 0.0 for back in times[NONE])  # what an answer takes anyway
    for fault, backs in sorted(times.items()):
        seconds = [float("inf") if back is None else back for back in backs]
        slow = sum(second > given.within + usual for second in seconds)
        late += slow
        print(
            f"{fault:34}{len(seconds):6}{min(seconds):7.2f}{statistics.median(seconds):8.2f}"
            f"{max(seconds):7.2f}   {'yes' if not slow else f'NO, {slow} times'}"
        )
    attempts = history.attempts
    outcomes = Counter(attempt.outcome for attempt in attempts)
    answered = Counter(attempt.act for attempt in attempts if attempt.outcome == "done")
    lasted = max(a.end for a in attempts) - min(a.start for a in attempts)
    alone = sum(
        attempt.status is not None
        and attempt.status >= 500
        and not any(t.covers(attempt.start) or t.covers(attempt.end) for t in history.troubles)
        for attempt in attempts
    )
    approved = sum(session["approved_at"] is not None for session in books.sessions.values())
    print(
        f"\n{len(attempts):,} requests of {given.therapists + given.clients} people in"
        f" {lasted:.0f} s: {outcomes['done']:,} done, {outcomes['refused']:,} refused,"
        f" {outcomes['unknown']:,} without an answer; {alone} failed outside every fault."
        f"\n{len(history.troubles)} faults; {len(books.sessions):,} sessions, {approved:,}"
        f" approved; {len(books.ledger):,} ledger entries; {answered['reconcile']} looks meanwhile."
        f"\nload average {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors."
    )
    print("done: " + ", ".join(f"{count} {act}" for act, count in answered.most_common()))
    for violation in violations[:_SHOWN]:
        print(f"VIOLATION {violation}")
    if violations:
        print(f"{len(violations)} violations (--seed {given.seed})")
    if late:
        print(f"{late} times it took longer than {given.within:g} s to be back")
    if not violations and not late:
        print("Nothing was lost, nothing was taken twice, and it was back in time.")
    return not violations and not late


if __name__ == "__main__":
    sys.exit(main())
