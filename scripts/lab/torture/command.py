"""Run everything under faults and check every answer; then prove the credits at full size.

Hundreds of people propose, approve, decline, cancel, join, finish and look over HTTP, grant and
sweep as operators, and write to the tables themselves, while processes are killed, connections cut,
the disk filled, Daily's answers spoiled and an API's clock set wrong. Every answer is recorded, and
afterwards compared with the database.
"""

import asyncio
import os
import random
import secrets
import shutil
import signal
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from scripts import CommandError
from scripts.lab.torture import proofs
from scripts.lab.torture.checker import Books, Violation, check
from scripts.lab.torture.crowd import Crowd
from scripts.lab.torture.faults import NONE, Fault, commit, faults
from scripts.lab.torture.history import History
from scripts.lab.torture.stage import Stage

_WARM_UP = 2.0  # seconds before the first fault
_SHOWN = 20  # violations, of each run


@dataclass(frozen=True)
class Options:
    """What was asked for at the prompt, beside the sizes of the proofs."""

    minutes: float
    seed: int
    therapists: int
    clients: int
    rate: float
    calm: float
    within: float
    history: Path | None
    keep: bool
    faults_only: bool


@click.command(help=__doc__)
@click.option("--minutes", type=float, default=20, show_default=True, help="Of faults.")
@click.option(
    "--seed",
    type=int,
    default=lambda: secrets.randbelow(10**9),
    help="Of every draw.  [default: a new one]",
)
@click.option("--therapists", type=int, default=80, show_default=True)
@click.option("--clients", type=int, default=240, show_default=True)
@click.option(
    "--rate", type=float, default=60, show_default=True, help="Requests a second to aim at."
)
@click.option(
    "--calm",
    type=float,
    default=2,
    show_default=True,
    help="Seconds without a failure between faults.",
)
@click.option(
    "--within",
    type=float,
    default=2,
    show_default=True,
    help="Seconds to be back after a fault, beside what any answer takes.",
)
@click.option(
    "--history", type=click.Path(path_type=Path), help="Keep the history there, as JSON lines."
)
@click.option("--keep", is_flag=True, help="Keep the logs, and say where.")
@click.option("--faults-only", is_flag=True, help="Leave out the proofs after them.")
@proofs.options
def main(runs: int, steps: int, operations: int, calls: int, only: str | None, **asked: Any) -> int:
    """Run what was asked for; 0 when all of it holds."""
    options = Options(**asked)
    print(f"--seed {options.seed}", flush=True)
    try:
        held = bool(only) or asyncio.run(_under_faults(options))
    except asyncio.CancelledError:
        print("Stopped.")
        return 130
    if not options.faults_only:
        sizes = proofs.Sizes(runs, steps, operations, calls, only)
        held &= proofs.hold(sizes, options.seed, options.minutes)
    return 0 if held else 1


def _stop_on_signals() -> None:
    """Let the first SIGINT or SIGTERM end everything in order, and ignore later ones."""
    running = asyncio.current_task()
    stopped: list[int] = []

    def stop() -> None:
        if running is not None and not stopped:
            stopped.append(1)
            running.cancel()

    for sent in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sent, stop)


async def _under_faults(options: Options) -> bool:
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
            with (options.history or folder / "history.jsonl").open("w") as history.file:
                crowd = Crowd(
                    stage, history, options.seed, options.therapists, options.clients, 1.0
                )
                await asyncio.to_thread(crowd.settle)
                crowd.pause = len(crowd.people) / options.rate
                await _torture(options, stage, crowd, progress)
                books = await asyncio.to_thread(Books.read, stage.query)
        violations = check(history, books)
    except CommandError as error:
        error.show()
        return False
    finally:
        if options.keep:
            print(f"The logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return _told(options, history, books, violations)


async def _torture(
    options: Options, stage: Stage, crowd: Crowd, progress: Callable[[str], None]
) -> None:
    chance = random.Random(f"{options.seed} faults")  # noqa: S311 - repeatable, not secret
    until = time.monotonic() + options.minutes * 60
    living = asyncio.create_task(crowd.live())
    waiting: list[Fault] = []
    try:
        await asyncio.sleep(min(_WARM_UP, options.calm))
        while time.monotonic() < until:
            waiting = waiting or faults(stage, chance)
            lasts = chance.uniform(1, 2) * options.calm
            trouble = await commit(waiting.pop(), lasts, crowd, options.calm)
            crowd.history.add(trouble)
            back = "is not back" if trouble.back is None else f"back after {trouble.back:.2f} s"
            progress(f"{trouble.fault}: {back}; {len(crowd.history.attempts):,} requests so far")
        crowd.stop()
        await living
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        await crowd.close()
    await asyncio.to_thread(_wait_for_abandoned_requests, stage)


def _wait_for_abandoned_requests(stage: Stage) -> None:
    """Return when the requests whose callers have hung up have ended too."""
    until = time.monotonic() + 30
    quiet = 0
    while quiet < 10:
        if time.monotonic() > until:
            raise CommandError("A request whose caller has hung up does not end")
        busy = stage.query(
            "select from pg_stat_activity where usename = 'authenticator' and state <> 'idle'"
        )
        quiet = 0 if busy else quiet + 1
        time.sleep(0.05)


def _told(options: Options, history: History, books: Books, violations: list[Violation]) -> bool:
    """Print how it went; return whether all is well."""
    times = defaultdict(list)
    for trouble in history.troubles:
        times[trouble.fault].append(trouble.back)
    heads = f"{'fault':34}{'times':>6}{'min':>7}{'median':>8}{'max':>7}"
    print(f"\n{heads}   back within {options.within:g} s, beside what any answer takes")
    late = 0
    usual = statistics.median(back or 0.0 for back in times[NONE])  # what an answer takes anyway
    for fault, backs in sorted(times.items()):
        seconds = [float("inf") if back is None else back for back in backs]
        slow = sum(second > options.within + usual for second in seconds)
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
        f"\n{len(attempts):,} requests of {options.therapists + options.clients} people in"
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
        print(f"{len(violations)} violations (--seed {options.seed})")
    if late:
        print(f"{late} times it took longer than {options.within:g} s to be back")
    if not violations and not late:
        print("Nothing was lost, nothing was taken twice, and it was back in time.")
    return not violations and not late
