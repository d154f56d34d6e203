"""What a deployment installs and runs is what the repository says, without asking the network."""

import json
import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.develop.audit import report
from scripts.local import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
# "name==1.2 ; marker \" and its hashes, one a line.
LOCKED = re.findall(r"^([a-z][^\s;]*?)==(\S+)[^\n]*\\\n((?: +--hash=\S+(?: \\)?\n)+)", LOCK, re.M)
WANTED = [
    Requirement(line)
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_the_lock_keeps_to_the_range_of_every_requirement(wanted: Requirement) -> None:
    versions = [version for name, version, _ in LOCKED if name == canonicalize_name(wanted.name)]

    assert versions, f"{wanted.name} is not locked: run make lock"
    assert all(version in wanted.specifier for version in versions), "run make lock"
    assert re.fullmatch(r">=[\d.]+,<[\d.]+", ",".join(sorted(map(str, wanted.specifier))[::-1]))


def test_the_lock_holds_everything_that_the_requirements_bring_with_them() -> None:
    wanted = [(requirement.name, requirement.extras) for requirement in WANTED]
    needed = set()
    while wanted:
        name, extras = wanted.pop()
        if (canonicalize_name(name), tuple(extras)) in needed:
            continue
        needed.add((canonicalize_name(name), tuple(extras)))
        for line in metadata.requires(name) or []:
            further = Requirement(line)
            if further.marker is None or any(
                further.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                wanted.append((further.name, further.extras))

    names = {name for name, _ in needed}
    assert len(names) > len(WANTED)
    assert names <= {name for name, _, _ in LOCKED}


def test_everything_locked_has_its_hashes_and_nothing_says_where_from() -> None:
    pinned = re.findall(r"^[a-z]\S*==", LOCK, re.M)

    assert len(pinned) == len(LOCKED) > len(WANTED)
    for _, _, hashes in LOCKED:
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}", hashes)
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert "--find-links" not in LOCK


def test_the_image_installs_by_hash_and_runs_as_nobody() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert "--require-hashes" in dockerfile
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile, re.M)
    assert re.search(r"^HEALTHCHECK .*", dockerfile, re.M)
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.M)
    kept = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert sorted(copied) == sorted(kept) == ["api", "gunicorn.conf.py", "requirements.lock"]


def test_the_container_may_write_nothing_and_become_nobody() -> None:
    compose = (ROOT / "compose.yaml").read_text()

    for line in ("read_only: true", "- ALL", "- no-new-privileges:true", "env_file: .env"):
        assert re.search(rf"^ +{re.escape(line)}$", compose, re.M), line
    stops_after = int(re.findall(r"graceful_timeout = (\d+)", _read("gunicorn.conf.py"))[0])
    for text in (compose, _read("docs/deployment.md")):
        [patience] = re.findall(r"(?:stop_grace_period: |TimeoutStopSec=)(\d+)", text)
        assert int(patience) > stops_after


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def audited(*packages: dict[str, object]) -> tuple[str, int]:
    """Return what the audit makes of an answer of pip-audit's."""
    return report(json.dumps({"dependencies": packages, "fixes": []}), "")


def test_an_audit_that_could_ask_nobody_is_not_called_clean() -> None:
    clean: dict[str, object] = {"name": "flask", "version": "3.1.3", "vulns": []}
    unknown: dict[str, object] = {"name": "httpx", "skip_reason": "Dependency not found"}
    hit = {"id": "PYSEC-1", "fix_versions": ["3.1.4"], "aliases": [], "description": ""}

    assert audited(clean) == ("1 packages, no known vulnerability", 0)
    assert audited(clean, unknown)[1] == 2
    assert audited()[1] == 2
    assert report("", "Traceback\nno route to host")[1] == 2
    assert audited(unknown, {**clean, "vulns": [hit]}) == (
        "AFFECTED:\nflask 3.1.3: PYSEC-1, mended in 3.1.4",
        1,
    )
