"""How the API is served: gunicorn reads this file by itself from the project's root."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

# Where the workers' metrics meet; prometheus_client asks for it when it is imported, by api.
_named = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_metrics = Path(_named or tempfile.mkdtemp(prefix="metrics-"))
_metrics.mkdir(parents=True, exist_ok=True)
for _earlier in _metrics.glob("*.db"):
    _earlier.unlink()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics)

from api import logs  # noqa: E402
from api.config import ConfigurationError, load_settings  # noqa: E402

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
worker_class = "gthread"
threads = 8  # a call waits for Postgres most of its time
reuse_port = True  # without it one worker may take every kept-alive connection
preload_app = False  # each worker opens its own connections, after the fork
timeout = 30
graceful_timeout = 25  # longer than a request takes, so that a stop finishes what was begun
keepalive = 15
limit_request_field_size = 16 * 1024  # so that a token that is too long meets our own refusal
logconfig_dict = logs.CONFIG


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
