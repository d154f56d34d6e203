"""The project's commands, as somebody runs them at a prompt."""

import subprocess
import sys
from collections.abc import Mapping

from scripts import ROOT
from scripts.local.processes import environment


def run(
    *arguments: object,
    env: Mapping[str, str] | None = None,
    said: str | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run python -m scripts with these arguments and settings, and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "scripts", *map(str, arguments)],
        cwd=ROOT,
        env=environment(**(env or {})),
        input=said,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
