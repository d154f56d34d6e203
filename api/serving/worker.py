"""A worker of the server: the application, and what Granian leaves to us."""

import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from io import BytesIO
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from api.config import MAX_BODY_BYTES

STOP_SECONDS = 25  # longer than a request takes, so that a stop finishes what was begun
_TAKE_OVER_SECONDS = 5  # a killed master's workers go on, until those of the next one are there


def build(generation: Any, name: str) -> WSGIApplication:
    """Build the application of a name, module:factory() or module:object, in this worker.

    `generation` is shared with the master, which counts it up when the workers that run are about
    to stop.
    """
    # The handler that is inherited from the master would lose a stop; Granian sets its own later.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute.removesuffix("()"))
    inner = cast(WSGIApplication, found() if attribute.endswith("()") else found)
    mine = generation.value
    threading.Thread(target=_end_without_master, args=(generation,), daemon=True).start()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        _bound_body(environ)
        if generation.value == mine:
            return inner(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            # The client then connects again. A connection that it kept would be cut at the stop.
            return start_response(status, [*headers, ("Connection", "close")], *more)

        return inner(environ, cast(StartResponse, start))

    return application


def _bound_body(environ: WSGIEnvironment) -> None:
    """Have werkzeug refuse a body that was cut off; Granian passes it on like a whole one."""
    environ.pop("wsgi.input_terminated", None)  # werkzeug then compares it with its length
    if environ.pop("HTTP_TRANSFER_ENCODING", None):
        body = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
        environ["wsgi.input"] = BytesIO(body)
        # A body in chunks has at least one. An empty one was cut off: it is shorter than 1 byte.
        environ["CONTENT_LENGTH"] = str(len(body) or 1)


def _end_without_master(generation: Any) -> None:
    """End this worker after its master was killed, so that no worker goes on for ever."""
    master = multiprocessing.parent_process()
    while master is not None and os.getppid() == master.pid:
        time.sleep(1)
    generation.value += 1
    time.sleep(_TAKE_OVER_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
