"""Stopping the API finishes what it has begun."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.actors import Person
from tests.api.conftest import SECRET, headers_of
from tests.api.serving import serving


class SlowSupabase:
    """A Supabase that answers with seven credits, once it is let."""

    def __init__(self) -> None:
        """Listen on 127.0.0.1."""
        self.begun, self.go = threading.Event(), threading.Event()
        slow = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                slow.begun.set()
                slow.go.wait(20)
                body = b'[{"credits_balance": 7}]'
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.environment = {
            "SUPABASE_URL": "http://supabase.test",
            "SUPABASE_REST_URL": f"http://127.0.0.1:{self.server.server_port}",
            "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_test",
            "SUPABASE_JWT_SECRET": SECRET,
        }


@pytest.fixture
def slow() -> Iterator[SlowSupabase]:
    """A Supabase that takes its time."""
    supabase = SlowSupabase()
    yield supabase
    supabase.go.set()
    supabase.server.shutdown()
    supabase.server.server_close()


def asked(url: str, client: Person) -> httpx.Response:
    """Ask for a client's credits."""
    return httpx.get(f"{url}/api/credits/user", headers=headers_of(client), timeout=30)


def is_well(url: str) -> bool:
    """Ask over a connection of its own."""
    fresh = HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        fresh.request("GET", "/healthz")
        return fresh.getresponse().status == 200
    finally:
        fresh.close()


def test_a_request_that_has_begun_is_answered_though_the_server_was_told_to_stop(
    log_file: Path, client: Person, slow: SlowSupabase
) -> None:
    with ThreadPoolExecutor(1) as pool, serving(log_file, **slow.environment) as served:
        waiting = pool.submit(asked, served.url, client)
        assert slow.begun.wait(20)
        served.process.send_signal(signal.SIGTERM)
        threading.Timer(1.5, slow.go.set).start()  # it is stopping by then
        answer = waiting.result(30)
        assert served.process.wait(30) == 0

    assert answer.status_code == 200, answer.text
    assert answer.json()["credits_balance"] == 7


def test_nobody_waits_for_a_worker_that_only_finishes_what_it_began(
    log_file: Path, client: Person, slow: SlowSupabase
) -> None:
    with ThreadPoolExecutor(1) as pool, serving(log_file, **slow.environment) as served:
        waiting = pool.submit(asked, served.url, client)
        assert slow.begun.wait(20)
        served.process.send_signal(signal.SIGHUP)  # new workers, and the old ones stop
        until = time.monotonic() + 20
        while log_file.read_text().count("Worker exiting") < 1:  # the other, which had no request
            assert time.monotonic() < until, log_file.read_text()

        for _ in range(20):  # over the queues of all the workers
            assert is_well(served.url)

        slow.go.set()
        waiting.result(30)


def test_workers_whose_master_was_killed_go_on_for_as_long_as_the_next_ones_take(
    log_file: Path, slow: SlowSupabase
) -> None:
    with serving(log_file, **slow.environment) as served:
        served.process.kill()
        killed = lasted = time.monotonic()
        try:
            while lasted < killed + 30:
                assert is_well(served.url)
                lasted = time.monotonic()
        except (ConnectionError, TimeoutError):
            pass

    assert 3 < lasted - killed < 30
