"""The bundle: the same install as one file, for places that have no psql."""

import subprocess
from pathlib import Path

import psycopg

from scripts.operate import psql
from scripts.operate.bundle import version
from tests import programs
from tests.install.places import dump
from tests.servers import Server


def _dump(address: str) -> str:
    with psycopg.connect(address) as db:
        return dump(db, "--schema-only")


def test_the_bundle_as_one_string_gives_the_same_install_as_psql(
    server: Server, own_database: str, tmp_path: Path
) -> None:
    file = tmp_path / "bundle.sql"
    assert programs.run("bundle", "--output", file).returncode == 0
    text = file.read_text()
    assert not any(line.startswith("\\") for line in text.splitlines())

    address = server.create("test_bundle", "template0")
    try:
        psql.apply(address, [psql.SUPABASE, psql.STARTER])
        for _ in range(2):
            with psycopg.connect(address, autocommit=True) as connection:
                connection.pgconn.exec_(
                    text.encode()
                )  # one simple query, as an SQL editor sends it
                assert connection.pgconn.error_message == b""
        assert _dump(address) == _dump(own_database)
    finally:
        server.drop("test_bundle")


def test_the_bundle_states_its_release_and_a_correct_checksum(tmp_path: Path) -> None:
    file = tmp_path / "bundle.sql"
    assert programs.run("bundle", "--output", file).returncode == 0
    release, said, *_ = file.read_text().splitlines()

    [_, command] = said.split(": ")
    sums = subprocess.run(
        ["sh", "-c", command.replace("FILE", str(file))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert release == f"-- Session approval {version()}"
    assert sums.stdout.split()[0] == said.split()[2]
