"""A client that sends slowly, or not at all, blocks no other client."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.actors import Person
from tests.api.conftest import token_of
from tests.api.serving import SlowSupabase, serving

pytestmark = pytest.mark.alone  # each answer must come within a second


@contextmanager
def half_sent(url: str, count: int, begun: str) -> Iterator[list[socket.socket]]:
    """Open so many connections, and send the same beginning of a request on each."""
    address = urlsplit(url)
    with ExitStack() as opened:
        sockets = [
            opened.enter_context(socket.create_connection((address.hostname, address.port), 5))
            for _ in range(count)
        ]
        for connection in sockets:
            connection.sendall(begun.encode())
        yield sockets


def assert_all_are_answered(url: str) -> None:
    """Ask twenty times for health, each over a connection of its own."""
    assert [httpx.get(f"{url}/healthz", timeout=1).status_code for _ in range(20)] == [200] * 20


def test_sixty_four_connections_that_send_only_get_block_no_client_and_are_closed(
    log_file: Path, slow: SlowSupabase
) -> None:
    with (
        serving(log_file, **slow.environment) as served,
        half_sent(served.url, 64, "GET") as opened,
    ):
        until = time.monotonic() + 15
        assert_all_are_answered(served.url)

        left = set(opened)
        while left and time.monotonic() < until:
            for connection in select.select(list(left), [], [], 1)[0]:
                assert connection.recv(1000) == b""
                left.remove(connection)

    assert left == set()


def test_twenty_eight_bodies_that_never_end_block_no_client(
    log_file: Path, client: Person, slow: SlowSupabase
) -> None:
    begun = (
        "POST /api/sessions/approve HTTP/1.1\r\nHost: test\r\n"
        f"Authorization: Bearer {token_of(client)}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )
    with (
        serving(log_file, **slow.environment) as served,
        half_sent(served.url, 28, begun) as opened,
    ):
        for _ in range(2):
            for connection in opened:
                connection.sendall(b" ")
            assert_all_are_answered(served.url)
        readable, _, _ = select.select(opened, [], [], 0)

    assert readable == []  # none of them was refused meanwhile
