"""docs/scaling.md names commands that run, and the check that they rely on sees what it should."""

import re
import signal
import subprocess
from itertools import islice
from pathlib import Path

import click
import psutil
import psycopg
import pytest

from scripts import ROOT, CommandError
from scripts.lab import availability
from scripts.lab.availability import parts
from scripts.lab.availability.history import Attempt, check
from scripts.lab.availability.people import People
from scripts.local.processes import end_at_once
from tests import programs

DOC = (ROOT / "docs" / "scaling.md").read_text()
NAMES = availability.main.list_commands(click.Context(availability.main))


@pytest.mark.parametrize("name", NAMES)
def test_a_command_says_what_it_does_and_needs(name: str) -> None:
    assert "It needs " in programs.run("lab", "availability", name, "--help").stdout


def test_the_page_names_every_command_and_only_files_that_exist() -> None:
    assert len(NAMES) == 4
    assert re.findall(r"-m scripts lab availability (\w+)", DOC) == NAMES
    for path in re.findall(r"\b((?:sql|scripts|docs)/[\w/]+\.\w+)", DOC):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w.-]+)[)#]", DOC):
        assert (ROOT / "docs" / path).exists(), path


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(CommandError, match="apt-get install its-package"):
        parts.program("no-such-program", "its-package")


def test_processes_are_ended_though_one_has_ended_by_itself() -> None:
    with subprocess.Popen(["true"]) as gone, subprocess.Popen(["sleep", "60"]) as busy:
        family = [psutil.Process(one.pid) for one in (gone, busy)]
        gone.wait()
        end_at_once(family)
        assert busy.wait(10) == -signal.SIGKILL


def test_the_check_of_a_history_sees_what_was_lost_and_what_was_taken_twice(
    own_database: str,
) -> None:
    some = People(clients=1, sessions=4)
    with psycopg.connect(own_database, autocommit=True) as db:
        some.add(db)
    first, second, third, fourth = islice(some.requests(), 4)
    with psycopg.connect(own_database) as db:
        for one in (first, second, third):
            db.execute(
                "select public.approve_session_and_deduct_credit(%s, %s)",
                (one.session, one.client),
            )
    told = [Attempt(one, 0, 1, 200, "", False) for one in (first, second, third)]

    assert check(own_database, told) == []

    twice = Attempt(first, 2, 3, 200, "", False)
    lost = Attempt(fourth, 2, 3, 200, "", False)
    with psycopg.connect(own_database) as db:
        db.execute("set local session_approval.allow_ledger_changes = 'on'")
        db.execute(
            "delete from session_approval.credit_ledger where session_id = %s", (second.session,)
        )
    wrong = " / ".join(check(own_database, [*told, twice, lost]))

    assert f"{first.session} was taken twice" in wrong
    assert f"{second.session} is scheduled and was paid 0 times" in wrong
    assert f"{fourth.session} was acknowledged and is lost" in wrong
    assert "reconcile_credits: a balance differs from its ledger" in wrong


def test_a_primary_killed_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    picture = tmp_path / "failover.svg"
    run = programs.run(
        *("lab", "availability", "failover", "--rounds", 1, "--seconds", 1, "--connections", 4),
        *("--without-fsync", "--picture", picture),
    )

    assert run.returncode == 0, run.stdout + run.stderr
    said = dict(re.findall(r"^  (\S.*?)  +(.+)$", run.stdout, re.M))
    assert int(said["approvals acknowledged"]) > 0
    assert said["acknowledged and lost, or taken twice"] == "0"
    assert said["told that nothing was done, and it was"] == "0"
    assert said["the old primary comes back"].startswith("a write is not acknowledged")
    assert "first good answer" in picture.read_text()
