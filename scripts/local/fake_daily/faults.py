"""Faults of the stand-in's answers, which tests ask for, and the WSGI layer that makes them."""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from werkzeug.test import run_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

API = "/v1"
KINDS = {
    "latency": "the answer comes after `seconds`",
    "rate_limit": "429, with Retry-After if `retry_after` is given; nothing is done",
    "forbidden": "403; nothing is done",
    "server_error": "500; nothing is done",
    "reset": "the connection is reset; nothing is done",
    "answer_lost": "what was asked is done, then the connection is reset",
    "half_body": "what was asked is done, then half the answer's body comes",
    "drip": "what was asked is done, then the body comes a byte every `seconds`",
    "drip_head": "what was asked is done, then the headers come a byte every `seconds`",
    "garbage": "200, with a body that is not JSON; nothing is done",
}
_ERRORS = {
    "rate_limit": ("429 Too Many Requests", b'{"error":"rate-limit-error"}'),
    "forbidden": ("403 Forbidden", b'{"error":"authorization-header-error"}'),
    "server_error": ("500 Internal Server Error", b'{"error":"server-error","info":"try again"}'),
    "garbage": ("200 OK", b"<!doctype html><title>Welcome</title>"),
}


@dataclass
class Fault:
    """A fault for the next `times` requests of that method (any, if None) and path prefix."""

    fault: str
    times: int = 1
    method: str | None = None
    path: str = "/"
    seconds: float = 0.0
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if self.fault not in KINDS:
            raise ValueError(f"no fault is called {self.fault!r}; there are {', '.join(KINDS)}")

    def matches(self, method: str, path: str) -> bool:
        """Whether the fault is for a request of that method and path (without /v1)."""
        return self.method in (None, method) and path.startswith(self.path)


class Faults:
    """A WSGI layer before the API: counts each request, and spoils those it was asked to spoil."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._counts: Counter[str] = Counter()
        self._released = threading.Event()

    def add(self, fault: Fault) -> None:
        """Spoil the next requests that match, after those asked for earlier."""
        with self._lock:
            self._waiting.append(fault)

    def reset(self) -> None:
        """Forget the counts and the faults, and let every delayed request go on."""
        self.clear()
        with self._lock:
            self._counts.clear()

    def clear(self) -> None:
        """Spoil nothing more, and let every delayed request go on."""
        with self._lock:
            self._waiting.clear()
            self._released.set()
            self._released = threading.Event()

    def overview(self) -> dict[str, Any]:
        """Return the number of requests by method and path, and of faults still to come."""
        with self._lock:
            left = sum(fault.times for fault in self._waiting)
            return {"counts": dict(self._counts), "faults_left": left}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve one request, spoiled or not."""
        if not environ["PATH_INFO"].startswith(f"{API}/"):
            return self._app(environ, start_response)
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix(API)
        fault, released = self._take(method, path)
        if fault is None:
            return self._app(environ, start_response)
        if fault.fault in _ERRORS:
            status, body = _ERRORS[fault.fault]
            form = "text/html" if fault.fault == "garbage" else "application/json"
            headers = [("Content-Type", form), ("Content-Length", str(len(body)))]
            if fault.retry_after is not None:
                headers.append(("Retry-After", str(fault.retry_after)))
            start_response(status, headers)
            return [body]
        if fault.fault == "latency":
            released.wait(fault.seconds)
            return self._app(environ, start_response)
        connection: socket.socket = environ["werkzeug.socket"]
        if fault.fault != "reset":
            for piece in self._pieces(environ, fault.fault):
                connection.sendall(piece)
                if fault.fault.startswith("drip") and released.wait(fault.seconds):
                    break
        if fault.fault in ("reset", "answer_lost"):
            _reset(connection)
        else:
            connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError  # tells the server that there is nothing left to say

    def _take(self, method: str, path: str) -> tuple[Fault | None, threading.Event]:
        with self._lock:
            noun, _, name = path.strip("/").partition("/")
            self._counts[f"{method} /{noun}{'/:name' if name else ''}"] += 1
            for fault in self._waiting:
                if fault.matches(method, path):
                    fault.times -= 1
                    if fault.times < 1:
                        self._waiting.remove(fault)
                    return fault, self._released
            return None, self._released

    def _pieces(self, environ: "WSGIEnvironment", fault: str) -> Iterator[bytes]:
        """Do what was asked, and yield the part of the answer that the fault lets through."""
        chunks, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        body = b"".join(chunks)
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
        if fault == "half_body":
            yield head + body[: len(body) // 2]
        elif fault == "drip":
            yield head
            yield from (body[at : at + 1] for at in range(len(body)))
        elif fault == "drip_head":
            yield from (head[at : at + 1] for at in range(len(head)))


def _reset(connection: socket.socket) -> None:
    """Close so that the other side sees a reset and not an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.close(connection.detach())
