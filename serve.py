"""Serve the API: python serve.py."""

import importlib
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

HEAD_SECONDS = 10  # a request's head arrives within them, or its connection is closed
LEAVE_SECONDS = 1.0  # before a stop: every answer then tells its client to connect again


@click.command(help=__doc__)
@click.argument("app", default="api:create_app()")
@click.option("--host", default="0.0.0.0", show_default=True, help="The address to listen on.")  # noqa: S104
@click.option("--port", type=int, help="The port; the environment's PORT where it is not given.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Of each worker, at most: a request keeps one while its body arrives and Postgres works.",
)
def main(app: str, host: str, port: int | None, workers: int, threads: int) -> None:
    """Check the settings, then run Granian until it is told to stop."""
    with _metrics_folder():
        from api.config import ConfigurationError, load_settings
        from api.serving import logs, worker

        try:
            settings = load_settings()
            port = port or settings.port
            address = _address(host, port)
        except (ConfigurationError, OSError) as error:
            sys.exit(str(error))  # one message, and not workers that start again and again
        importlib.import_module(app.partition(":")[0])  # once, in memory that the workers share
        server = Granian(
            app,
            address=address,
            port=port,
            interface=Interfaces.WSGI,
            http=HTTPModes.http1,
            websockets=False,
            workers=workers,
            respawn_failed_workers=True,
            workers_kill_timeout=worker.STOP_SECONDS,
            blocking_threads=threads,
            backpressure=512,  # connections of a worker; others wait for one of them to be closed
            http1_settings=HTTP1Settings(
                header_read_timeout=HEAD_SECONDS * 1000, max_buffer_size=32 * 1024
            ),
            log_dictconfig=logs.CONFIG,
        )
        generation = multiprocessing.RawValue("i", 0)
        _announce_stops(server, generation)
        server.serve(target_loader=partial(worker.build, generation))


@contextmanager
def _metrics_folder() -> Iterator[None]:
    """Name the folder where the workers' metrics meet, before prometheus_client is imported."""
    named = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    folder = Path(named or tempfile.mkdtemp(prefix="metrics-"))
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("*.db"):
        earlier.unlink()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    try:
        yield
    finally:
        if not named:
            shutil.rmtree(folder, ignore_errors=True)


def _address(host: str, port: int) -> str:
    """Return a host's address, or raise OSError where nothing can listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"The API cannot listen on {host}, port {port}: {error}") from None
        address: str = probe.getsockname()[0]
        return address


def _announce_stops(server: Any, generation: Any) -> None:
    """Have the workers that are about to stop say so in their answers, before they do."""

    def leave() -> None:
        generation.value += 1

    def leave_before_a_stop() -> None:
        stop: Any = signal.getsignal(signal.SIGTERM)

        def handle(*received: Any) -> None:
            leave()
            signal.signal(signal.SIGTERM, stop)  # a second one is obeyed at once
            threading.Timer(LEAVE_SECONDS, stop, received).start()

        signal.signal(signal.SIGTERM, handle)

    server.on_reload(leave)
    server.on_startup(leave_before_a_stop)


if __name__ == "__main__":
    main()
