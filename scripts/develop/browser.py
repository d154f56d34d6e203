"""Install a Chromium for the browser tests, where there is none and this machine allows it."""

import os
import shutil
import subprocess
import sys

import click

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """Return the path of a Chromium on this machine."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


@click.command(help=__doc__)
def main() -> None:
    """Install Debian's chromium; where that cannot be, say so and go on."""
    if find():
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    apt = shutil.which("apt-get")
    if apt and not subprocess.run([*root, "true"], capture_output=True, check=False).returncode:
        print("Installing Chromium for the browser tests ...", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            subprocess.run([*root, apt, "-qq", *arguments], env=environment, check=False)
    if not find():
        print(
            "NO BROWSER: the browser tests will be skipped. Install Chromium to run them.",
            file=sys.stderr,
        )
