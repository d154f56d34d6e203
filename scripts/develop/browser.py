"""Make sure that the browser tests have a Chromium, where this machine lets us install one."""

import argparse
import os
import shutil
import subprocess
import sys

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """Return the path of a Chromium on this machine."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def main() -> int:
    """Install Debian's chromium if there is none; where that cannot be, say so and go on."""
    argparse.ArgumentParser(
        prog="python -m scripts.develop.browser", description=__doc__
    ).parse_args()
    if find():
        return 0
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
