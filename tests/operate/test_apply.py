"""The command apply: which psql it runs, and what it does with psql's words."""

import os
from pathlib import Path

import psycopg
import pytest

from scripts import CommandError
from scripts.operate import psql
from tests import programs
from tests.servers import Server


@pytest.fixture
def psql_on_path(tmp_path: Path) -> dict[str, str]:
    """A PATH whose psql writes down what it was called with."""
    program = tmp_path / "psql"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    program.chmod(0o755)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}


def test_the_psql_on_the_path_is_used(psql_on_path: dict[str, str], tmp_path: Path) -> None:
    ended = programs.run("apply", "postgresql:///there", env=psql_on_path)

    assert (ended.returncode, ended.stdout) == (0, "Installed.\n")
    called = (tmp_path / "called").read_text().split()
    assert called[called.index("-d") + 1] == "postgresql:///there"
    assert "ON_ERROR_STOP=1" in called
    assert "-1" in called
    assert called[-1] == str(psql.INSTALL)


def test_the_embedded_psql_is_used_if_the_path_has_none(server: Server) -> None:
    address = server.create("test_apply", "template0")
    try:
        ended = programs.run("apply", "--supabase", "--starter", address, env={"PATH": ""})

        assert (ended.returncode, ended.stderr) == (0, "")
        with psycopg.connect(address) as db:
            assert db.execute("select session_approval.version()").fetchone()
    finally:
        server.drop("test_apply")


def test_an_error_of_psql_is_shown(server: Server) -> None:
    address = server.create("test_apply", "template0")
    try:
        ended = programs.run("apply", address)

        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("psql stopped; nothing was changed:\n")
    finally:
        server.drop("test_apply")


def test_apply_reads_the_address_from_the_environment_or_asks_for_it(
    psql_on_path: dict[str, str], tmp_path: Path
) -> None:
    nowhere = programs.run("apply", env=psql_on_path)
    assert nowhere.returncode == 2
    assert "DATABASE_URL" in nowhere.stderr
    assert not (tmp_path / "called").exists()

    address = "postgresql:///from_the_environment"
    there = programs.run("apply", env={**psql_on_path, "DATABASE_URL": address})
    assert there.returncode == 0
    assert address in (tmp_path / "called").read_text()


def test_a_missing_psql_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(psql, "wheel_programs", lambda _: None)

    with pytest.raises(CommandError, match="apt-get install postgresql-client"):
        psql.apply("postgresql:///nowhere", [psql.INSTALL])
