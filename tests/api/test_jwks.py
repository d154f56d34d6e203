"""The project's public keys: how often they are fetched, and what happens when that fails."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.identity.jwks import KeysUnavailable, PublicKeys

PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()


def published(*names: str) -> dict[str, Any]:
    """Return a key set, as Supabase Auth publishes it."""
    key = jwt.algorithms.ECAlgorithm.to_jwk(PUBLIC, as_dict=True)
    return {"keys": [{**key, "kid": name, "alg": "ES256", "use": "sig"} for name in names]}


class KeyServer:
    """Answers as a test wants it to, and counts the fetches."""

    def __init__(self) -> None:
        """Listen on a port of its own."""
        self.document: object = published("one")
        self.status = 200
        self.fetches = 0
        self.go = threading.Event()
        self.go.set()
        self.trickle = False
        self.drip_head = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.fetches += 1
                server.go.wait(20)
                head = b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 60
                for byte in head if server.drip_head else b"":
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.1)
                self.send_response(server.status)
                if server.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                for byte in json.dumps(server.document).encode():
                    try:
                        self.wfile.write(bytes([byte]))
                    except OSError:
                        return
                    if server.trickle:
                        time.sleep(0.1)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/keys"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A server of public keys."""
    running = KeyServer()
    yield running
    running.go.set()
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def clock() -> Clock:
    """The keys' clock."""
    return Clock()


@pytest.fixture
def keys(server: KeyServer, clock: Clock) -> PublicKeys:
    """The keys under test."""
    return PublicKeys(server.url, clock)


def test_keys_are_fetched_again_after_ten_minutes_and_not_before(
    server: KeyServer, keys: PublicKeys, clock: Clock
) -> None:
    assert keys.find("one") is not None
    clock.now += 599
    assert keys.find("one") is not None
    assert server.fetches == 1
    server.document = published("two")
    clock.now += 1
    assert keys.find("one") is None  # withdrawn
    assert keys.find("two") is not None
    assert server.fetches == 2


def test_a_new_key_is_found_at_once_and_unknown_keys_are_looked_for_every_30_seconds(
    server: KeyServer, keys: PublicKeys, clock: Clock
) -> None:
    keys.find("one")
    server.document = published("one", "two")
    assert keys.find("two") is not None
    assert server.fetches == 2
    for unknown in range(50):
        assert keys.find(f"unknown-{unknown}") is None
    clock.now += 29
    assert keys.find("unknown") is None
    assert server.fetches == 2
    clock.now += 1
    assert keys.find("unknown") is None
    assert keys.find("unknown") is None
    assert server.fetches == 3


@pytest.mark.parametrize("fault", ["500", "302", "not json", "not a set", "too large"])
def test_old_keys_stay_in_use_and_a_failed_fetch_is_repeated_after_30_seconds(
    server: KeyServer, keys: PublicKeys, clock: Clock, fault: str
) -> None:
    keys.find("one")
    if fault.isdigit():
        server.status = int(fault)
    else:
        server.document = {"not json": "", "not a set": [], "too large": "x" * 100_000}[fault]
    clock.now += 86_400
    for _ in range(20):
        assert keys.find("one") is not None
    assert server.fetches == 2
    server.status, server.document = 200, published("two")
    clock.now += 30
    keys.find("one")
    assert server.fetches == 3
    assert keys.find("two") is not None


def test_the_next_token_fetches_again_while_there_is_no_key(
    server: KeyServer, keys: PublicKeys
) -> None:
    server.status = 503
    with pytest.raises(KeysUnavailable):
        keys.find("one")
    server.status = 200
    assert keys.find("one") is not None


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1])
def test_an_answer_of_more_than_64_kib_is_refused(
    server: KeyServer, keys: PublicKeys, size: int
) -> None:
    document = {**published("one"), "filler": ""}
    document["filler"] = "x" * (size - len(json.dumps(document)))
    server.document = document

    if size > 64 * 1024:
        with pytest.raises(KeysUnavailable):
            keys.find("one")
    else:
        assert keys.find("one") is not None


def test_many_threads_make_one_fetch(server: KeyServer, keys: PublicKeys) -> None:
    server.go.clear()
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(keys.find, "one") for _ in range(16)]
        while server.fetches == 0:
            time.sleep(0.01)
        server.go.set()
        assert all(call.result() is not None for call in calls)
    assert server.fetches == 1


@pytest.mark.parametrize("slow", ["silent", "a byte at a time", "a header's byte at a time"])
def test_no_caller_waits_longer_than_three_seconds(
    server: KeyServer, keys: PublicKeys, slow: str
) -> None:
    if slow == "silent":
        server.go.clear()
    server.trickle = True
    server.drip_head = "header" in slow

    def find(_: int) -> float:
        began = time.monotonic()
        with pytest.raises(KeysUnavailable):
            keys.find("one")
        return time.monotonic() - began

    with ThreadPoolExecutor(8) as pool:
        seconds = list(pool.map(find, range(8)))
    assert max(seconds) < 4
    if server.drip_head:  # that fetch still runs, and nobody waits for it any more
        assert find(0) < 0.5
    assert server.fetches == 1


def test_ready_waits_for_a_fetch_that_another_thread_began(
    server: KeyServer, keys: PublicKeys
) -> None:
    server.go.clear()
    with ThreadPoolExecutor(2) as pool:
        finding = pool.submit(keys.find, "one")
        while server.fetches == 0:
            time.sleep(0.01)
        ready = pool.submit(keys.ready)
        time.sleep(0.1)
        assert not ready.done()
        server.go.set()
        assert ready.result() is True
        assert finding.result() is not None


def test_only_one_thread_waits_while_old_keys_are_replaced(
    server: KeyServer, keys: PublicKeys, clock: Clock
) -> None:
    keys.find("one")
    clock.now += 601
    server.go.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(keys.find, "one")
        while server.fetches == 1:
            time.sleep(0.01)
        began = time.monotonic()
        for _ in range(100):
            assert keys.find("one") is not None
        assert time.monotonic() - began < 1
        server.go.set()
        assert waiting.result() is not None


@pytest.mark.parametrize(
    "unsuitable",
    [
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": None},
        {"use": "enc"},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"kty": "RSA"},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"key_ops": ["sign"]},
        {"kid": 1},
        {"kid": None},
        {"x": "AAAA"},
    ],
    ids=str,
)
def test_a_key_that_is_not_for_verifying_tokens_is_ignored(
    server: KeyServer, keys: PublicKeys, unsuitable: dict[str, Any]
) -> None:
    [good, bad] = published("good", "bad")["keys"]
    server.document = {"keys": [{**bad, **unsuitable}, good]}
    assert keys.find("good") is not None
    assert keys.find("bad") is None


def test_a_key_set_without_a_usable_key_is_logged(
    server: KeyServer, keys: PublicKeys, caplog: pytest.LogCaptureFixture
) -> None:
    keys.find("one")
    assert caplog.messages == []
    server.document = {"keys": []}
    keys.find("two")
    [message] = caplog.messages
    assert "is SUPABASE_JWT_SECRET missing?" in message
