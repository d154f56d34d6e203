"""How the API is served: gunicorn reads this file by itself from the project's root."""

import os
import select
import shutil
import sys
import tempfile
import time
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

# Where the workers' metrics meet; prometheus_client asks for it when it is imported, by api.
_named = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_metrics = Path(_named or tempfile.mkdtemp(prefix="metrics-"))
_metrics.mkdir(parents=True, exist_ok=True)
for _earlier in _metrics.glob("*.db"):
    _earlier.unlink()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics)

from api.config import ConfigurationError, load_settings  # noqa: E402
from api.serving import logs  # noqa: E402

try:
    # Checked before the first fork, so that a wrong setting is one message and not a boot loop.
    _settings = load_settings()
except ConfigurationError as error:
    if not _named:
        shutil.rmtree(_metrics)
    sys.exit(str(error))

wsgi_app = "api:create_app()"
bind = f"0.0.0.0:{_settings.port}"
workers = 2
threads = 8  # a call waits for Postgres most of its time
reuse_port = True  # without it one worker may take every kept-alive connection
preload_app = False  # each worker opens its own connections, after the fork
timeout = 30
graceful_timeout = 25  # longer than a request takes, so that a stop finishes what was begun
keepalive = 15
limit_request_field_size = 16 * 1024  # so that a token that is too long meets our own refusal
logconfig_dict = logs.CONFIG


class worker_class(ThreadWorker):
    """Gunicorn's threads, which on their way out leave nobody waiting.

    With reuse_port each worker has a queue of its own; one that stops and finishes what it began
    would let those who come meanwhile wait in it, unheard, for as long as that takes. And where the
    master was killed, its workers need not be gone before those of the next one are there.
    """

    orphaned: float | None = None  # when

    def set_accept_enabled(self, enabled: bool) -> None:
        """When stopping, let in who waits already, and leave who comes to the other workers."""
        super().set_accept_enabled(enabled)
        if not (enabled or self.alive):
            for listener in self.sockets:
                while select.select([listener], [], [], 0)[0]:
                    self.accept(listener)
                listener.close()

    def is_parent_alive(self) -> bool:
        """Go on for a while without the master, then stop, and say so to who would keep a line."""
        if os.getppid() != self.ppid:
            self.orphaned = self.orphaned or time.monotonic()
            self.alive = self.alive and time.monotonic() < self.orphaned + 5.0
        return bool(self.alive)


class logger_class(Logger):
    """Gunicorn's log without its access log: the API logs each request itself, by its route."""

    def access(self, *_: object) -> None:
        """Say nothing."""


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Forget what a worker that has ended was doing; what it counted is kept."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(_server: Arbiter) -> None:
    """Remove the metrics' folder where it was made here."""
    if not _named:
        shutil.rmtree(_metrics, ignore_errors=True)
