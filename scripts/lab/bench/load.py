"""A generator of HTTP load that costs little itself: one thread, requests written beforehand."""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from scripts import CommandError

_PATIENCE = 30.0  # seconds without an answer after which a run has failed

Calls = Sequence[bytes]  # of one job: each is sent when the one before it is answered


@dataclass
class Load:
    """What a run measured."""

    seconds: float = 0.0
    processor: float = 0.0  # the generator's own, in seconds
    times: list[float] = field(default_factory=list)  # of each job, from its first call to its end

    @property
    def per_second(self) -> float:
        """Jobs a second."""
        return len(self.times) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the milliseconds within which this share of the jobs was done."""
        return sorted(self.times)[int(share * (len(self.times) - 1))] * 1000


def request(
    method: str, path: str, headers: dict[str, str], body: str | None = None, host: str = "test"
) -> bytes:
    """Write a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body or ""]).encode()


def run(port: int, jobs: Iterator[Calls], connections: int, seconds: float) -> Load:
    """Keep so many connections busy, each with one job after another, until the time is up.

    Raises CommandError at the first answer that is not a success.
    """
    selector = selectors.DefaultSelector()
    opened = [_Connection(port) for _ in range(connections)]
    load = Load()
    burned, began = time.process_time(), time.perf_counter()
    until = began + seconds
    try:
        for one in opened:
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.begin(next(jobs), began)
        busy = len(opened)
        while busy:
            ready = selector.select(_PATIENCE)
            if not ready:
                raise CommandError(f"no answer from port {port} in {_PATIENCE:.0f} s")
            for key, _ in ready:
                one = key.data
                if not one.read():
                    continue
                now = time.perf_counter()
                load.times.append(now - one.began)
                if now < until:
                    one.begin(next(jobs), now)
                else:
                    busy -= 1
    finally:
        for one in opened:
            one.socket.close()
        selector.close()
    load.seconds = time.perf_counter() - began
    load.processor = time.process_time() - burned
    return load


class _Connection:
    """A connection that is kept open, with the job that it is doing."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self._answer = b""
        self._calls: Iterator[bytes] = iter(())

    def begin(self, calls: Calls, now: float) -> None:
        """Send a job's first call."""
        self.began = now
        self._calls = iter(calls)
        self.socket.sendall(next(self._calls))

    def read(self) -> bool:
        """Read what has arrived, send the next call if there is one; return whether all is done."""
        arrived = self.socket.recv(65536)
        self._answer += arrived
        if not arrived:
            raise CommandError(f"the connection was closed after {self._answer[:200]!r}")
        if not _is_whole(self._answer):
            return False
        if self._answer[9:10] != b"2":
            raise CommandError(f"answered with {self._answer[:2000]!r}")
        self._answer = b""
        following = next(self._calls, None)
        if following is None:
            return True
        self.socket.sendall(following)
        return False


def _is_whole(answer: bytes) -> bool:
    """Whether an answer has arrived to its end."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    head = head.lower()
    if b"\r\ntransfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    _, found, length = head.partition(b"\r\ncontent-length:")
    return len(body) >= int(length.split(b"\r\n")[0]) if found else True
