"""What comes from npm is fetched once; where it cannot be fetched, npm's own words are shown."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts import CommandError
from scripts.local import npm


@pytest.fixture
def npm_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put an npm of these commands on the path; return the list of what it was called with."""
    calls = tmp_path / "calls"
    calls.touch()
    program = tmp_path / "npm"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(npm, "FOLDER", tmp_path / "fetched")

    def write(commands: str) -> Path:
        program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{commands}\n')
        program.chmod(0o755)
        return calls

    return write


def test_a_program_is_fetched_once_however_many_want_it(npm_that: Callable[[str], Path]) -> None:
    calls = npm_that('mkdir -p "$3/node_modules"; sleep 0.2; touch "$3/node_modules/it"')

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: npm.fetched("it", "one@1.0.0", "two@2.0.0"), range(4)))

    (it,) = found
    assert it.exists()
    (call,) = calls.read_text().splitlines()
    assert call.startswith("install ")
    assert call.endswith(" one@1.0.0 two@2.0.0")


def test_what_npm_says_against_it_is_shown(npm_that: Callable[[str], Path]) -> None:
    npm_that("echo npm error code SELF_SIGNED_CERT_IN_CHAIN >&2; exit 1")
    with pytest.raises(CommandError, match=r"(?s)could not install it@1\.0\.0.+SELF_SIGNED_CERT"):
        npm.fetched("it", "it@1.0.0")


def test_a_package_without_what_is_wanted_of_it_is_told(npm_that: Callable[[str], Path]) -> None:
    npm_that("exit 0")
    with pytest.raises(CommandError, match=r"npm installed it@1\.0\.0 without .+/node_modules/it$"):
        npm.fetched("it", "it@1.0.0")
