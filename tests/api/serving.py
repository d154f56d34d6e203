"""The API as it is deployed: gunicorn with the project's own configuration, as a process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from scripts.local import ROOT, free_port


@dataclass
class Served:
    """A running API: where it is, its process, and the file that holds all it says."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def serving(log: Path, **environment: str) -> Iterator[Served]:
    """Run the API until the block ends."""
    port = free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"],
            cwd=ROOT,
            env={**os.environ, "PORT": str(port), **environment},
            stdout=output,
            stderr=output,
        )
    served = Served(f"http://127.0.0.1:{port}", process, log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{served.url}/healthz", timeout=1)
                break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield served
    finally:
        process.terminate()
        process.wait(30)
