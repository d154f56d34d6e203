"""make run: it starts, says where everything is, starts again quickly, leaves nothing behind."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from scripts import ROOT
from scripts.local.processes import environment


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of its own for the stack's data, with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="sa-", dir="/tmp") as name:
        yield Path(name)


def start(folder: Path, **settings: str) -> subprocess.Popen[str]:
    """Start what make run starts."""
    return subprocess.Popen(
        [sys.executable, "-m", "scripts", "run"],
        cwd=ROOT,
        env=environment(LOCAL_FOLDER=str(folder), **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until_ready(process: subprocess.Popen[str]) -> str:
    """Return what it printed up to its last line."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("Ctrl-C ends it"):
            return said
    raise AssertionError(said)


def processes_of(folder: Path) -> list[str]:
    """Return the commands that still run for this stack."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        variables = process.info["environ"] or {}
        command = " ".join(process.info["cmdline"] or [])
        if variables.get("LOCAL_FOLDER") == str(folder) or str(folder) in command:
            found.append(command)
    return found


@pytest.mark.alone
def test_it_runs_stops_without_a_trace_and_starts_again_within_five_seconds(folder: Path) -> None:
    first = start(folder)
    said = read_until_ready(first)
    address = said.partition("Open  ")[2].split("/sign-in")[0]
    assert httpx.get(f"{address}/readyz").status_code == 200
    for who in ("tara", "tom", "ada", "ben", "cleo", "dan"):
        assert f"{who}@example.org" in said
    first.send_signal(signal.SIGINT)
    assert first.wait(30) == 0
    assert processes_of(folder) == []

    began = time.monotonic()
    second = start(folder)
    read_until_ready(second)
    took = time.monotonic() - began
    second.send_signal(signal.SIGTERM)
    assert second.wait(30) == 0
    assert processes_of(folder) == []
    assert took < 5


def test_what_a_killed_supervisor_left_behind_does_not_stop_the_next_start(folder: Path) -> None:
    first = start(folder)
    read_until_ready(first)
    first.kill()
    first.wait(10)

    second = start(folder)
    try:
        read_until_ready(second)
    finally:
        second.send_signal(signal.SIGINT)
        second.wait(30)

    assert processes_of(folder) == []


def test_a_busy_port_is_a_clear_message(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(folder, PORT=str(port))
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Port {port} is busy" in said
    assert "PORT=" in said
    assert "Traceback" not in said
    assert processes_of(folder) == []


def test_a_second_run_beside_the_first_is_refused(folder: Path) -> None:
    first = start(folder)
    read_until_ready(first)
    try:
        second = start(folder)
        said, _ = second.communicate(timeout=30)
        assert second.returncode == 1
        assert "running already" in said
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 0
