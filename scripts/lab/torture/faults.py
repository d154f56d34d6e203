"""The faults, one after another, and how long the product takes to recover from each."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import httpx
import psycopg

from scripts.lab.torture.crowd import Crowd
from scripts.lab.torture.history import Attempt, Trouble
from scripts.lab.torture.stage import Disk, Stage
from scripts.local.fake_daily.faults import KINDS
from scripts.local.processes import end_at_once

_PROBE_EVERY = 0.15  # seconds
_GIVE_UP = 30.0  # seconds: after them it will not recover by itself
_DAILY_AT_ONCE = 3  # of Daily's faults, in each round of all the others

NONE = "(none, for comparison)"

Step = Callable[[], Awaitable[None] | None]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong: in a moment, or for some seconds until it is ended."""

    name: str
    begin: Step
    end: Step | None = None


def faults(stage: Stage, chance: random.Random) -> list[Fault]:
    """Return one round: every fault that is possible here, at random; the last one comes first."""
    found = [
        Fault("kill -9 a Postgres backend", lambda: asyncio.to_thread(_kill_backend, stage)),
        Fault("kill -9 Postgres", stage.postgres.kill),
        Fault("Postgres ends every connection", lambda: asyncio.to_thread(_end_all, stage)),
        Fault("kill -9 PostgREST", stage.rest.kill),
        Fault("kill -9 an API worker", lambda: _kill_workers(stage, chance, 1)),
        Fault("kill -9 every API worker", lambda: _kill_workers(stage, chance, None)),
        Fault("kill -9 the API's master", stage.api.kill),
    ]
    for wire, name in (
        (stage.to_rest, "API - PostgREST"),
        (stage.to_postgres, "PostgREST - Postgres"),
    ):
        found += [
            Fault(f"cut {name}", wire.cut),
            Fault(f"refuse {name}", wire.refuse, wire.open),
            Fault(f"stall {name}", wire.stall, wire.open),
        ]
    if disk := stage.disk:
        found.append(
            Fault("the disk is full", lambda: asyncio.to_thread(_fill, stage, disk), disk.free)
        )
    if stage.clock:
        seconds = chance.choice([-900, -5, 5, 900])
        found.append(
            Fault(
                f"clock of an API {seconds:+d} s",
                lambda: stage.drift(seconds),
                stage.stop_drifting,
            )
        )
    for kind in chance.sample(list(KINDS), _DAILY_AT_ONCE):
        found.append(Fault(f"Daily: {kind}", partial(_spoil, stage, kind), partial(_heal, stage)))
    found.append(Fault("kill -9 Daily", stage.daily.kill))
    chance.shuffle(found)
    return [*found, Fault(NONE, lambda: None)]


async def commit(fault: Fault, lasts: float, crowd: Crowd, calm: float) -> Trouble:
    """Cause a fault for so long, and measure from its end until all is well for a while."""
    trouble = Trouble(fault.name, time.time())
    await _done(fault.begin)
    if fault.end is not None:
        await asyncio.sleep(lasts)
        await _done(fault.end)
        trouble.end = time.time()
    else:
        trouble.end = trouble.start  # a fault of one moment is over when it has happened
    trouble.back = await _back(crowd, trouble.end, calm)
    return trouble


async def _done(step: Step) -> None:
    waiting = step()
    if waiting is not None:
        await waiting


async def _back(crowd: Crowd, since: float, calm: float) -> float | None:
    """Return the seconds until the first good answer to a write after which no write failed.

    Probes go out at a steady pace, without waiting for earlier ones, until none has failed for
    `calm` seconds.
    """
    probes: list[asyncio.Task[Attempt]] = []
    while True:
        probes.append(asyncio.create_task(crowd.probe(len(probes))))
        await asyncio.sleep(_PROBE_EVERY)
        ended = [probe.result() for probe in probes if probe.done()]
        bad = [probe.start for probe in ended if probe.outcome != "done"]
        good = [
            probe.end
            for probe in ended
            if probe.outcome == "done" and (not bad or probe.start > max(bad))
        ]
        now = time.time()
        if good and now - max([since, *bad]) > calm:
            # A probe that still waits was sent before that answer, and may yet fail.
            waiting = [probe for probe in probes if not probe.done()]
            if not waiting or now - since > _GIVE_UP:
                return min(good) - since
            if all(a.outcome == "done" for a in await asyncio.gather(*waiting)):
                return min(good) - since
        elif now - since > _GIVE_UP:
            await asyncio.gather(*probes)
            return None


def _kill_backend(stage: Stage) -> None:
    """Kill one that is at work, if there is one; Postgres then restarts all of them."""
    with suppress(psycopg.OperationalError, ProcessLookupError):
        for row in stage.query(
            "select pid from pg_stat_activity where usename = 'authenticator'"
            " order by state = 'active' desc, random() limit 1"
        ):
            os.kill(row["pid"], signal.SIGKILL)


def _end_all(stage: Stage) -> None:
    with suppress(psycopg.OperationalError):
        stage.query(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'"
        )


def _kill_workers(stage: Stage, chance: random.Random, count: int | None) -> None:
    workers = stage.api.children()
    end_at_once(workers if count is None else chance.sample(workers, min(count, len(workers))))


def _fill(stage: Stage, disk: Disk) -> None:
    """Fill it, and use up the log's reserve, so that its next segment finds no space."""
    disk.fill()
    with suppress(psycopg.Error):
        for _ in range(4):
            stage.query("select pg_logical_emit_message(true, 'torture', 'x'), pg_switch_wal()")
            disk.fill()


def _control() -> httpx.AsyncClient:
    """Return a client for the stand-in, which may have been killed and be starting again."""
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=5))


async def _spoil(stage: Stage, kind: str) -> None:
    seconds = {"latency": 30.0, "drip": 0.2, "drip_head": 0.2}.get(kind, 0.0)
    fault = {"fault": kind, "times": 1_000_000, "seconds": seconds}
    async with _control() as control:
        answer = await control.post(f"{stage.daily_url}/control/faults", json=fault, timeout=5)
        answer.raise_for_status()


async def _heal(stage: Stage) -> None:
    async with _control() as control:
        answer = await control.delete(f"{stage.daily_url}/control/faults", timeout=5)
        answer.raise_for_status()
