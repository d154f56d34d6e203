"""Measure what one worker of the API serves, and two; what one weighs; how long it starts."""

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil

from scripts.local import ROOT, StackError, free_port
from scripts.local.stack import Stack
from scripts.local.tokens import mint

ADA = ("00000000-0000-4000-8000-000000000011", "ada@example.org")  # of sql/local/demo.sql
PATHS = {"one call to Supabase": "/api/sessions/pending", "none": "/healthz"}
_START_SECONDS = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print calls a second by workers, then memory and the time to start; 0."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.lab.bench.serving", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=5, help="of each measure (%(default)s)")
    parser.add_argument("--callers", type=int, default=8, help="at once (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="sa-", dir="/tmp") as folder,
            Stack(Path(folder) / "run") as stack,
        ):
            _measure(stack, given.seconds, given.callers)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _measure(stack: Stack, seconds: float, callers: int) -> None:
    environment = {**stack.environment(), "RATE_LIMIT": "off"}
    token = mint(stack.jwt_secret(), f"{stack.rest_url}/auth/v1", *ADA)
    cores = os.cpu_count()
    print(f"{cores} cores, which Postgres, PostgREST and the {callers} callers share.\n")
    print(f"{'calls a second':24}{'1 worker':>12}{'2 workers':>12}{'ratio':>8}")
    rates: dict[str, list[float]] = {name: [] for name in PATHS}
    burned = dict.fromkeys(PATHS, 0.0)  # milliseconds of a worker's processor for one call
    weights = []
    for workers in (1, 2):
        with _gunicorn(environment, workers) as (port, process):
            children = psutil.Process(process.pid).children()[:workers]
            for name, path in PATHS.items():
                before = _processor_seconds(children)
                rate = _calls_a_second(port, path, token, seconds, callers)
                burned[name] = (_processor_seconds(children) - before) / (rate * seconds) * 1000
                rates[name].append(rate)
            weights += [_megabytes(worker) for worker in children]
    for name, (one, two) in rates.items():
        print(f"{name:24}{one:12.0f}{two:12.0f}{two / one:8.2f}")
    print("\nand of a processor's time, whatever else the machine does:")
    for name, cost in burned.items():
        print(f"{name:24}{cost:9.2f} ms a call: a worker with a core of its own, {1000 / cost:.0f}")
    print(f"\na worker weighs {max(weights):.0f} MB of its own after that")
    print(f"a process answers its first call after {_first_call(environment, token):.2f} s (cold)")


@contextmanager
def _gunicorn(
    environment: dict[str, str], workers: int
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn"),
            *("--bind", f"127.0.0.1:{port}", "--workers", str(workers)),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackError("gunicorn did not start")
            time.sleep(0.05)
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        _call(http.client.HTTPConnection("127.0.0.1", port, timeout=2), "/healthz", {})
    except OSError:
        return False
    return True


def _call(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> None:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise StackError(f"{path} answered {answer.status}: {body[:200]!r}")


def _calls_a_second(port: int, path: str, token: str, seconds: float, callers: int) -> float:
    headers = {"Authorization": f"Bearer {token}"}

    def call_on(_: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        _call(connection, path, headers)
        made, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            _call(connection, path, headers)
            made += 1
        return made

    with ThreadPoolExecutor(callers) as pool:
        return sum(pool.map(call_on, range(callers))) / seconds


def _processor_seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(float(taken.user + taken.system) for taken in times)


def _megabytes(process: psutil.Process) -> float:
    weight: float = process.memory_full_info().uss / 1e6
    return weight


def _first_call(environment: dict[str, str], token: str) -> float:
    """Return the seconds from starting Python to the answer of a first call."""
    first = (
        "import api; client = api.create_app().test_client();"
        "answer = client.get('/api/sessions/pending', headers={'Authorization': 'Bearer %s'});"
        "assert answer.status_code == 200, answer.text"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", first % token], cwd=ROOT, env=environment, check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
