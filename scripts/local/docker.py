"""A Docker daemon for the tests in a container: the one that runs, or our own for a while."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scripts import ROOT, CommandError

_START_SECONDS = 60.0
_PULL_SECONDS = 120.0
_BUILD = ROOT / "scripts" / "local" / "postgres_image.sh"
_BUILT = "session-approval-postgres"  # the image that the script makes


@contextmanager
def daemon() -> Iterator[str]:
    """Yield whose daemon it is; end it if it is ours. CommandError where there can be none."""
    if _answers():
        yield "the Docker that runs here"
        return
    program = shutil.which("dockerd")
    if not program:
        raise CommandError(
            "no Docker runs here, and there is no dockerd to start: install docker.io"
        )
    if os.geteuid() != 0:
        raise CommandError("no Docker runs here, and only root can start one")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([program], stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    tail = log.read()[-600:].decode(errors="replace").strip()
                    raise CommandError(f"dockerd does not start here; its log ends:\n{tail}")
                time.sleep(0.2)
            yield "a Docker of our own"
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def postgres_image(wanted: str) -> str:
    """Return an image that is here: the wanted one, else one made of Debian's packages."""
    if _is_here(wanted) or _pulled(wanted):
        return wanted
    if not _is_here(_BUILT):
        if os.geteuid() != 0 or not shutil.which("debootstrap"):
            raise CommandError(
                f"no registry answers for {wanted}, and {_BUILD.name} needs root and debootstrap"
            )
        made = subprocess.run([_BUILD, _BUILT], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise CommandError(f"{_BUILD.name} failed:\n{(made.stdout + made.stderr)[-2000:]}")
    return _BUILT


def _answers() -> bool:
    return bool(shutil.which("docker")) and _succeeds("docker", "info")


def _is_here(image: str) -> bool:
    return _succeeds("docker", "image", "inspect", image)


def _pulled(image: str) -> bool:
    return _succeeds("docker", "pull", "--quiet", image, seconds=_PULL_SECONDS)


def _succeeds(*command: str, seconds: float = 30.0) -> bool:
    try:
        ended = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0
