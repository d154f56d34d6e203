"""The processes that are started here: their environment, their log and their end."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import httpx
import psutil

from scripts import ROOT, CommandError

_START_SECONDS = 30.0


@cache
def _variables() -> frozenset[str]:
    """Return every variable that the product reads: .env.example lists them."""
    example = (ROOT / ".env.example").read_text()
    return frozenset(re.findall(r"^#?([A-Z_]+)=", example, re.M))


def environment(**settings: str) -> dict[str, str]:
    """Return a child's environment: this process's, with these settings of the product alone.

    The other settings are empty and not missing: the API reads missing ones from .env, where a
    developer may have those of a real project. Only the folder of the metrics is missing: it is
    never read from .env, and an empty name would be taken for a folder.
    """
    blank = dict.fromkeys(_variables(), "")
    inherited = dict(os.environ)
    for variables in (blank, inherited):
        variables.pop("PROMETHEUS_MULTIPROC_DIR", None)
    return {**inherited, **blank, **settings}


class Process:
    """A program with a log of its own."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start it, in this process's environment where no other is given."""
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user,
                group=user,
                start_new_session=True,  # Ctrl-C is for the process that started it
            )

    def wait_until(self, ready: Callable[[], object]) -> None:
        """Return once it is ready; raise CommandError with the end of its log if it ends first."""
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                self.stop()
                raise CommandError(
                    f"{self.log.stem} did not start; its log {self.log} ends:\n{tail}"
                )
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM, patience: float = 40) -> None:
        """End it, and wait until it has ended."""
        if self.popen.poll() is None:
            self.popen.send_signal(how)
            try:
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(5)


def answers(url: str) -> bool:
    """Whether an address answers with success."""
    try:
        return httpx.get(url, timeout=1).is_success
    except httpx.TransportError:
        return False


def end_at_once(processes: Iterable[psutil.Process]) -> None:
    """Kill processes; one that has ended by itself meanwhile is ignored."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # psutil compares the start time too, so it kills no other process
