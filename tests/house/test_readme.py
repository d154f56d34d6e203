"""The commands in the README work, and its tables are complete."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import ROOT
from scripts.local.stack import Stack
from scripts.operate.sql_files import all_files, files_below

README = (ROOT / "README.md").read_text()


@pytest.fixture
def stack() -> Iterator[Stack]:
    """The local stack, as make run starts it, in a folder of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="sa-", dir="/tmp") as folder,
        Stack(Path(folder) / "run") as running,
    ):
        yield running


def test_the_story_in_the_readme_runs_as_it_is_printed(stack: Stack) -> None:
    [block] = re.findall(r"```sh\n(API=.*?)```", README, re.S)
    story = block.replace("http://127.0.0.1:8000", stack.api_url)

    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", story],
        cwd=ROOT,
        env={**os.environ, "LOCAL_FOLDER": str(stack.folder.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    pending, approved, again, poor, foreign = result.stdout.strip().splitlines()
    assert '"status":"pending_approval"' in pending
    assert '"status":"scheduled"' in approved
    assert '"already_approved":false' in approved
    assert '"credits_balance_after":7' in approved
    assert '"already_approved":true' in again
    assert '"credits_balance_after":7' in again
    assert '"code":"INSUFFICIENT_CREDITS"' in poor
    assert '"code":"SESSION_NOT_FOUND"' in foreign


def test_the_table_of_refusals_lists_every_code_that_a_person_can_get() -> None:
    listed = set(re.findall(r"^\| ([A-Z_]+) \| (\d{3}) \| (.+) \|$", README, re.M))
    published = json.loads((ROOT / "api" / "contract" / "refusals.json").read_text())
    assert listed == {
        (code, str(refusal["status"]), refusal["when"]) for code, refusal in published.items()
    }
    listed = {(code, status) for code, status, _ in listed}
    raised = set()
    for file in all_files():
        text = file.read_text()
        raised |= {
            (code, status)
            for status, code in re.findall(r"refuse\(\s*(\d{3}),\s*'([A-Z_]+)'", text)
        }
    for file in files_below(ROOT / "api", "*.py", at_least=25):
        raised |= {
            (code, status)
            for status, code in re.findall(
                r"Refusal\(\s*(\d{3}),\s*\"([A-Z_]+)\"", file.read_text()
            )
        }
    operators_only = {
        ("PERSON_NOT_FOUND", "404"),
        ("LOT_NOT_FOUND", "404"),
        ("CREDITS_BELOW_ZERO", "409"),
    }
    assert len(raised) > 15
    assert raised - operators_only <= listed
    assert listed - raised == {
        ("NOT_FOUND", "404"),
        ("METHOD_NOT_ALLOWED", "405"),
        ("PAYLOAD_TOO_LARGE", "413"),
        ("INTERNAL_ERROR", "500"),
    }


def test_every_dependency_has_its_reason_in_the_readme() -> None:
    files = sorted(ROOT.glob("requirements*.txt"))
    assert len(files) >= 3
    for file in files:
        for line in file.read_text().splitlines():
            if package := re.match(r"[a-z][a-z0-9-]*", line):
                assert re.search(rf"(\| |[ (]){package[0]}( \||[\s,.(])", README), package[0]


def test_every_make_target_in_the_text_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    texts = README + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?:`|\n|\()make (?:-s )?([a-z]+)", texts))
    assert len(named) > 6
    assert named <= targets


def test_every_variable_of_the_environment_is_in_the_example() -> None:
    text = (ROOT / "api" / "config.py").read_text()
    read = set(re.findall(r"(?:value|url)\(\"([A-Z_]+)\"", text))
    documented = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M))
    assert len(read) >= 10
    assert read <= documented
