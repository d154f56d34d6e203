"""Ask whether a known vulnerability touches what a deployment installs: requirements.lock."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from scripts.local import ROOT

LOCK = ROOT / "requirements.lock"
_SECONDS = 120


def main() -> int:
    """Print what was found: 0 when nothing was or nobody could be asked, 1 when something was."""
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument("--lock", type=Path, default=LOCK, help="another file (%(default)s)")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 2 where the advisories cannot be reached"
    )
    given = parser.parse_args()
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    command += ["--requirement", str(given.lock), "--require-hashes", "--disable-pip"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        said, code = report(ran.stdout, ran.stderr)
    except subprocess.TimeoutExpired:
        said, code = f"NOT AUDITED: no answer within {_SECONDS} s", 2
    print(said)
    return code if given.strict or code != 2 else 0


def report(out: str, error: str) -> tuple[str, int]:
    """Say what pip-audit's answer comes to, with 0 for clean, 1 for affected, 2 for not known.

    A package that the source of the advisories does not know is one about which nothing was said:
    pip-audit alone calls that clean.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError):
        last = (error.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return f"NOT AUDITED: the advisories cannot be reached ({last[:200]})", 2
    affected = [
        f"{package['name']} {package['version']}: {found['id']}"
        + f", mended in {', '.join(found['fix_versions']) or 'no release yet'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if affected:
        return "\n".join(["AFFECTED:", *affected]), 1
    if unknown or not packages:
        return (
            f"NOT AUDITED: of {len(packages)} packages the source of the advisories"
            f" knows {len(packages) - len(unknown)}",
            2,
        )
    return f"{len(packages)} packages, no known vulnerability", 0


if __name__ == "__main__":
    sys.exit(main())
