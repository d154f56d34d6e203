"""The programs of this project, as somebody runs them at a prompt."""

import subprocess
import sys
from collections.abc import Mapping

from scripts.local import ROOT


def run(
    module: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    said: str | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run python -m module from the project's root to its end, and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=env,
        input=said,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
