"""The one command: what it lists, what it imports, and where its children's settings come from."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from scripts import ROOT
from scripts.__main__ import main
from scripts.local.processes import environment

USE = r"(?:-m scripts|\$\(SCRIPTS\)) ([a-z][a-z-]*(?: [a-z]+)*)"
Path = tuple[str, ...]


def below(group: click.Group, *path: str) -> Iterator[tuple[Path, click.Command]]:
    """Yield every command of a group, and of the groups in it."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield (*path, name), command
            if isinstance(command, click.Group):
                yield from below(command, *path, name)


@pytest.fixture(scope="module")
def commands() -> dict[Path, click.Command]:
    """Every command, by the words that call it."""
    return dict(below(main))


def test_the_commands_that_are_named_anywhere_exist(commands: dict[Path, click.Command]) -> None:
    files = [ROOT / "Makefile", ROOT / "Dockerfile", *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    files += [*ROOT.glob("sql/**/*.sql"), *ROOT.glob("scripts/**/*.py")]
    named = {
        tuple(words.split())
        for file in files
        if file.name != "CHANGELOG.md"
        for words in re.findall(USE, file.read_text())
    }
    assert len(named) > 20
    for words in named:
        paths = [path for path in commands if words[: len(path)] == path]
        longest = max(paths, key=len, default=())
        assert longest, words
        rest = words[len(longest) :]
        assert not (rest and isinstance(commands[longest], click.Group)), words


def test_every_command_says_what_it_does(commands: dict[Path, click.Command]) -> None:
    assert len(commands) > 25
    for path in commands:
        shown = CliRunner().invoke(main, [*path, "--help"], prog_name="python -m scripts")
        assert shown.exit_code == 0, shown.output
        usage, _, summary, *_ = shown.output.splitlines()
        assert usage.startswith(f"Usage: python -m scripts {' '.join(path)} ")
        assert len(summary) > 20


def test_a_command_whose_packages_are_missing_says_what_to_install() -> None:
    program = (
        "import runpy, sys; sys.modules['psutil'] = None;"
        "runpy.run_module('scripts', run_name='__main__', alter_sys=True)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr == (
        "run needs a package that is not installed, psutil: pip install -r requirements-dev.txt\n"
    )


def test_a_child_has_the_settings_that_it_is_given_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    example = (ROOT / ".env.example").read_text()
    settings = set(re.findall(r"^#?([A-Z_]+)=", example, re.M))
    assert {"SUPABASE_ANON_KEY", "JITSI_URL", "COOKIE_AUTH", "DATABASE_URL"} <= settings
    for name in settings:
        monkeypatch.setenv(name, "of this machine")

    child = environment(PORT="8123")

    # Empty and not left out, so that .env does not fill them in.
    assert {name: child.get(name) for name in settings} == {
        **dict.fromkeys(settings, ""),
        "PROMETHEUS_MULTIPROC_DIR": None,
        "PORT": "8123",
    }
    assert child["PATH"] == os.environ["PATH"]
