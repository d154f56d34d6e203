"""A supervisor, as a deployment has one: a process that ends is started again at once."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from scripts.local.processes import end_at_once

_PAUSE = 0.05  # seconds before a start, so that one that cannot succeed yet is no busy loop


class Kept:
    """A process that is started again when it ends, until it is let go."""

    def __init__(self, launch: Callable[[], subprocess.Popen[bytes]]) -> None:
        """Start it, and watch it from now on."""
        self.restarts = 0
        self._launch = launch
        self._orphans: list[psutil.Process] = []
        self._over = threading.Event()
        self._process = launch()
        self._watch = threading.Thread(target=self._keep, daemon=True)
        self._watch.start()

    @property
    def pid(self) -> int:
        """The id of the process that runs now, or ran last."""
        return self._process.pid

    def children(self) -> list[psutil.Process]:
        """The processes that it has started, eldest first."""
        with suppress(psutil.NoSuchProcess):
            return sorted(psutil.Process(self.pid).children(), key=psutil.Process.create_time)
        return []

    def kill(self) -> None:
        """End it as a crash does, which leaves its children behind."""
        self._orphans += self.children()
        self._send(signal.SIGKILL)

    def let_go(self, how: signal.Signals = signal.SIGTERM, patience: float = 15.0) -> None:
        """End it for good, and the children that earlier ones left behind."""
        self._over.set()
        self._orphans += self.children()
        until = time.monotonic() + patience
        while self._watch.is_alive():
            self._send(how if time.monotonic() < until else signal.SIGKILL)
            self._watch.join(1)
        end_at_once(self._orphans)

    def _send(self, sent: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, sent)

    def _keep(self) -> None:
        while True:
            self._process.wait()
            if self._over.wait(_PAUSE):
                return
            self._process = self._launch()
            self.restarts += 1
