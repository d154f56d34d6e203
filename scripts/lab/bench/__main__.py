"""Measure approvals over HTTP and in SQL, then what people ask for most; ratios first."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from scripts.lab.bench import publish
from scripts.local import LOCAL, ROOT

FOLDER = LOCAL / "bench"
# Each with what makes all of them take about five minutes, and what makes them take seconds.
MEASURES: dict[str, tuple[list[str], list[str]]] = {
    "http": ([], ["--seconds", "0.2", "--rounds", "1", "--connections", "1", "4"]),
    "approvals": (["--seconds", "3", "--rounds", "1"], ["--seconds", "1", "--rounds", "1"]),
    "sizes": ([], ["--largest", "10000"]),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each measure's ratios, then its figures; 0 when every goal is reached, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m scripts.lab.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--tiny", action="store_true", help="see that it runs, and nothing more")
    parser.add_argument("--publish", action="store_true", help="then write docs/benchmarks.md anew")
    given = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = []
    for name in given.only:
        usual, tiny = MEASURES[name]
        command = [sys.executable, "-m", f"scripts.lab.bench.{name}"]
        command += ["--output", str(FOLDER / f"{name}.json"), *(tiny if given.tiny else usual)]
        done = subprocess.run(command, cwd=ROOT, check=False)
        results.append(done.returncode)
    if given.publish and max(results) < 2:
        results.append(publish.main(["--measured", str(FOLDER)]))
    return max(results)


if __name__ == "__main__":
    sys.exit(main())
