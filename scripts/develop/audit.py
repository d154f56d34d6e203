"""Ask whether a known vulnerability touches what a deployment installs: requirements.lock."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from scripts import ROOT

LOCK = ROOT / "requirements.lock"
_SECONDS = 120


@click.command(help=__doc__)
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=LOCK,
    help="Another file.  [default: requirements.lock]",
)
@click.option("--strict", is_flag=True, help="Exit with 2 where no advisories can be had.")
def main(lock: Path, strict: bool) -> int:
    """Print the verdict: 1 when a package is affected, else 0."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    command += ["--requirement", str(lock), "--require-hashes", "--disable-pip"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        verdict, code = report(ran.stdout, ran.stderr)
    except subprocess.TimeoutExpired:
        verdict, code = f"NOT AUDITED: no answer within {_SECONDS} s", 2
    print(verdict)
    return code if strict or code != 2 else 0


def report(out: str, error: str) -> tuple[str, int]:
    """Return pip-audit's verdict in words, and 0 for clean, 1 for affected, 2 for not known.

    A package that the source of the advisories does not know is not clean: nothing was said about
    it. pip-audit alone calls it clean.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError):
        last = (error.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return f"NOT AUDITED: the advisories cannot be reached ({last[:200]})", 2
    affected = [
        f"{package['name']} {package['version']}: {advisory['id']}"
        + f", mended in {', '.join(advisory['fix_versions']) or 'no release yet'}"
        for package in packages
        for advisory in package.get("vulns", [])
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
