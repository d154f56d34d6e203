"""How the API is started on this machine, as it is deployed: one command, one environment."""

import sys
from pathlib import Path

from scripts.local.processes import Process, environment


def start(port: int, log: Path, app: str = "", **settings: str) -> Process:
    """Start the API, or another WSGI app on the same server, with these settings alone."""
    return Process(command(port, app), log, environment(PORT=str(port), **settings))


def command(port: int, app: str = "") -> list[str]:
    """Return the command, for the project's root."""
    at = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "serve.py", *at, *([app] if app else [])]
