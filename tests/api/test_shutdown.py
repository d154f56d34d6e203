"""A stop of the API finishes what was begun, and leaves no client waiting."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from scripts import ROOT
from scripts.local import api_server, free_port
from tests.actors import Person
from tests.api.conftest import headers_of
from tests.api.serving import Served, SlowSupabase, serving


def asked(url: str, client: Person) -> httpx.Response:
    """Ask for a client's credits."""
    return httpx.get(f"{url}/api/credits/user", headers=headers_of(client), timeout=30)


def connected(url: str) -> HTTPConnection:
    """Return a connection of its own, which is kept."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.connect()
    return connection


def is_well(url: str) -> bool:
    """Ask over a connection of its own."""
    fresh = connected(url)
    try:
        fresh.request("GET", "/healthz")
        return fresh.getresponse().status == 200
    finally:
        fresh.close()


def wait_for(log: Path, words: str, times: int = 1) -> None:
    """Return once the log has these words, so many times."""
    until = time.monotonic() + 30
    while log.read_text().count(words) < times:
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)


def workers_of(served: Served) -> list[psutil.Process]:
    """Return the workers that run now."""
    return psutil.Process(served.process.pid).children()


def test_a_request_that_has_begun_is_answered_though_the_server_was_told_to_stop(
    log_file: Path, client: Person, slow: SlowSupabase
) -> None:
    with ThreadPoolExecutor(1) as pool, serving(log_file, **slow.environment) as served:
        waiting = pool.submit(asked, served.url, client)
        assert slow.begun.wait(20)
        served.process.send_signal(signal.SIGTERM)
        threading.Timer(4, slow.go.set).start()  # it is stopping by then
        answer = waiting.result(30)
        assert served.process.wait(30) == 0

    assert answer.status_code == 200, answer.text
    assert answer.json()["credits_balance"] == 7


def test_a_client_that_comes_while_the_server_stops_is_answered_or_refused_at_once(
    log_file: Path, client: Person, slow: SlowSupabase
) -> None:
    answered = refused = 0
    with ThreadPoolExecutor(1) as pool, serving(log_file, **slow.environment) as served:
        waiting = pool.submit(asked, served.url, client)
        assert slow.begun.wait(20)
        served.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 20
        while refused < 100 and time.monotonic() < until:
            try:
                assert is_well(served.url)  # one that is not accepted is a TimeoutError
                answered += 1
            except ConnectionError:
                refused += 1
        slow.go.set()
        assert waiting.result(30).status_code == 200

    assert answered > 0
    assert refused == 100


def test_a_connection_that_is_kept_is_told_to_close_before_a_stop_cuts_it(
    log_file: Path, slow: SlowSupabase
) -> None:
    def said(connection: HTTPConnection) -> str | None:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert answer.read()
        assert answer.status == 200
        return answer.getheader("Connection")

    with serving(log_file, **slow.environment) as served:
        kept = [connected(served.url) for _ in range(6)]
        assert {said(connection) for connection in kept} == {None}

        served.process.send_signal(signal.SIGTERM)
        first = kept.pop()
        while (told := said(first)) is None:
            pass  # the signal is on its way
        assert told == "close"
        assert {said(connection) for connection in kept} == {"close"}
        assert served.process.wait(30) == 0


def test_no_client_waits_for_a_worker_that_only_finishes_what_it_began(
    log_file: Path, client: Person, slow: SlowSupabase
) -> None:
    with ThreadPoolExecutor(1) as pool, serving(log_file, **slow.environment) as served:
        waiting = pool.submit(asked, served.url, client)
        assert slow.begun.wait(20)
        busy = [
            worker
            for worker in workers_of(served)
            if any(
                line.raddr and line.raddr.port == slow.server.server_port
                for line in worker.net_connections()
            )
        ]
        assert len(busy) == 1
        served.process.send_signal(signal.SIGHUP)  # new workers, and the old ones stop in turn
        number = "1" if busy == workers_of(served)[:1] else "2"
        wait_for(log_file, f'"Stopping worker-{number}"')

        for _ in range(20):  # over the queues of all the workers
            assert is_well(served.url)

        assert busy[0].is_running()
        slow.go.set()
        assert waiting.result(30).status_code == 200


def test_a_stop_while_the_server_starts_is_not_lost(log_file: Path, slow: SlowSupabase) -> None:
    with started(log_file, slow, app=f"{__name__}:long_to_build()") as process:
        wait_for(log_file, "Spawning worker-2")
        process.terminate()
        assert process.wait(15) == 0


def long_to_build() -> None:
    """Keep a worker busy before it serves."""
    time.sleep(60)


def test_workers_whose_master_was_killed_go_on_for_as_long_as_the_next_ones_take(
    log_file: Path, slow: SlowSupabase
) -> None:
    with serving(log_file, **slow.environment) as served:
        workers = workers_of(served)
        assert len(workers) == 2
        served.process.kill()
        killed = lasted = time.monotonic()
        try:
            while lasted < killed + 30:
                assert is_well(served.url)
                lasted = time.monotonic()
        except (ConnectionError, TimeoutError):
            pass
        _, alive = psutil.wait_procs(workers, 20)

    assert 3 < lasted - killed < 30
    assert alive == []


def test_the_next_master_takes_over_the_port_of_one_that_was_killed(
    log_file: Path, slow: SlowSupabase
) -> None:
    cut = 0
    with serving(log_file, **slow.environment) as served:
        workers = workers_of(served)
        served.process.kill()
        port = urlsplit(served.url).port
        assert port is not None
        with started(log_file, slow, port):
            for number in (1, 2):
                wait_for(log_file, f'"Started worker-{number}"', times=2)
            until = time.monotonic() + 30
            while psutil.wait_procs(workers, 0)[1]:
                try:
                    assert is_well(served.url)
                except ConnectionError:  # at the very moment at which a worker stops
                    cut += 1
                assert time.monotonic() < until
            for _ in range(20):
                assert is_well(served.url)

    assert cut <= len(workers) == 2


def test_a_server_that_cannot_start_says_why_and_ends(log_file: Path, slow: SlowSupabase) -> None:
    with slow.server.socket as taken:
        port = taken.getsockname()[1]
        with started(log_file, slow, port) as process:
            assert process.wait(20) == 1
        assert f"cannot listen on 127.0.0.1, port {port}" in log_file.read_text()
        assert "Traceback" not in log_file.read_text()

        with started(log_file, slow, app="api:no_such_name()") as process:
            assert process.wait(20) == 1  # and not workers that start again and again


@contextmanager
def started(
    log: Path, slow: SlowSupabase, port: int | None = None, app: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server, and return at once."""
    with log.open("a") as output:
        process = subprocess.Popen(
            api_server.command(port or free_port(), app),
            cwd=ROOT,
            env=slow.environment,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
