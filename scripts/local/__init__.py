"""The local stack's parts: embedded Postgres, real PostgREST, local sign-in, demo people."""

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
# Everything the stack keeps: git-ignored, safe to delete; LOCAL_FOLDER makes room for a second one.
LOCAL = Path(os.environ.get("LOCAL_FOLDER") or ROOT / ".local").resolve()


class StackError(Exception):
    """A part of the local stack cannot start; the message says what to do."""


def end_at_once(processes: Iterable[psutil.Process]) -> None:
    """End processes at once, those that have not ended by themselves meanwhile."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # psutil knows it by its start as well, so it is no other's


def free_port() -> int:
    """Return a TCP port that nothing on 127.0.0.1 listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def hold_port(port: int) -> socket.socket:
    """Bind a port without listening, so that no other stack takes it before ours listens there.

    gunicorn shares its port among its workers, and would share it with another stack's as well.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", port))
    return held


def require_free(port: int, variable: str) -> int:
    """Return the port, or raise StackError naming the variable that moves it elsewhere."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(
                f"Port {port} is busy ({error.strerror}). Stop what listens there, "
                f"or choose another: {variable}=8123 make run"
            ) from None
    return port
