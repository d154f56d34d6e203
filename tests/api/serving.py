"""The API as it is deployed, as a process."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from scripts.local import api_server, free_port


@dataclass
class Served:
    """A running API: where it is, its process, and the file that holds all it says."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def serving(log: Path, **settings: str) -> Iterator[Served]:
    """Run the API until the block ends."""
    port = free_port()
    started = api_server.start(port, log, **settings)
    served = Served(f"http://127.0.0.1:{port}", started.popen, log)
    try:
        started.wait_until(lambda: _answers(served.url))
        yield served
    finally:
        started.stop()


def _answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz", timeout=1)
    except httpx.TransportError:
        return False
    return True
