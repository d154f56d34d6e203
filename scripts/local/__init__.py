"""The whole product on one machine, and what stands in for hosted services."""

import os
import socket
from pathlib import Path

from scripts import ROOT, CommandError

# All that the stack keeps: git-ignored, safe to delete. LOCAL_FOLDER names another, for a second
# stack beside the first.
LOCAL = Path(os.environ.get("LOCAL_FOLDER") or ROOT / ".local").resolve()


def free_port() -> int:
    """Return a TCP port that nothing on 127.0.0.1 listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def hold_port(port: int) -> socket.socket:
    """Bind a port without listening, so that no other stack takes it before ours listens there.

    The API's workers share their port, and would share it with another stack's workers too.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", port))
    return held


def require_free(port: int, variable: str) -> int:
    """Return the port, or raise CommandError with the variable that chooses another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandError(
                f"Port {port} is busy ({error.strerror}). Stop what listens there, "
                f"or choose another: {variable}=8123 make run"
            ) from None
    return port
