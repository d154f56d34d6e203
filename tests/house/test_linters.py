"""Other people's linters find nothing: squawk, plpgsql_check, and the Supabase CLI's advisors."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import ROOT
from scripts.local.postgres import EmbeddedPostgres
from scripts.operate import psql
from scripts.operate.bundle import bundle
from tests import actors
from tests.actors import Connection
from tests.house.tools import missing, supabase
from tests.install.places import text
from tests.install.test_install import schema
from tests.servers import Server

SQUAWK = Path(sys.executable).with_name("squawk")

# Findings of plpgsql_check that are no fault here, by function, each with why.
NO_FAULT = {
    # It puts an expression into a statement, and an expression cannot be quoted. Postgres printed
    # it, and only the owner writes to install_changes, where it is kept.
    "session_approval.restored_status_check(text,text,text)": "text type variable is not sanitized",
    # So does this one: a definition that stands in a file of the install.
    "session_approval.add_column(text,text,text,text)": "text type variable is not sanitized",
}
# Findings of the advisors that are no fault here, each with why.
EXPECTED = {
    # Nothing was asked in this database yet; migrations/ names the query of each index.
    "unused_index",
    # These two set the search path for the application's triggers. A setting of their own would end
    # with the function. Every name in them is qualified, and they run as whoever writes.
    "function_search_path_mutable: switch_to_application_settings",
    "function_search_path_mutable: switch_back_to_our_settings",
}


# squawk.


def test_squawk_finds_nothing_in_the_bundle_and_in_the_online_install(tmp_path: Path) -> None:
    file = tmp_path / "session_approval.sql"
    file.write_text(bundle(psql.INSTALL))
    online = [ROOT / "sql" / "online" / f"{name}.sql" for name in ("indexes", "checks", "lots")]

    for arguments in ([file, "--assume-in-transaction"], online):
        result = subprocess.run(
            [SQUAWK, "--pg-version=14.0", "--reporter=gcc", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.stdout, result.returncode) == ("", 0), result.stdout + result.stderr


# plpgsql_check.


@pytest.fixture(scope="module")
def checked() -> Iterator[Connection]:
    """A connection to a Debian Postgres that has plpgsql_check, with the product installed."""
    libraries = sorted(Path("/usr/lib/postgresql").glob("*/lib/plpgsql_check.so"))
    if not libraries:
        missing("no plpgsql_check here (Debian: postgresql-15-plpgsql-check)")
    folder = Path(tempfile.mkdtemp(prefix="sa-check-"))
    try:
        with EmbeddedPostgres(
            folder / "pg", bin_dir=libraries[-1].parents[1] / "bin", config={"fsync": "off"}
        ) as server:
            psql.apply(server.uri(), [psql.SUPABASE, psql.STARTER])
            with actors.connect(server.uri()) as db:
                # With these, every trigger of ours is made.
                db.execute(
                    text("hosted") + "alter table public.sessions add column duration integer"
                )
                psql.apply(server.uri(), [psql.INSTALL])
                db.execute("create extension plpgsql_check")
                yield db
    finally:
        shutil.rmtree(folder)


def test_plpgsql_check_finds_nothing_in_any_function(checked: Connection) -> None:
    functions = checked.execute(
        "select f.oid::regprocedure::text as name, t.tgrelid from pg_proc f"
        " join pg_language l on l.oid = f.prolang and l.lanname = 'plpgsql'"
        " left join lateral (select distinct t.tgrelid from pg_trigger t where t.tgfoid = f.oid) t"
        "   on true"
        " where f.pronamespace in ('session_approval'::regnamespace, 'public'::regnamespace)"
        " order by 1"
    ).fetchall()
    findings = [
        f"{function['name']}: {issue['level']} {issue['sqlstate']} line {issue['lineno']}:"
        f" {issue['message']}"
        for function in functions
        for issue in checked.execute(
            "select * from plpgsql_check_function_tb(%(name)s::regprocedure,"
            " coalesce(%(tgrelid)s, 0::oid)::regclass, security_warnings => true,"
            " performance_warnings => true, fatal_errors => false)",
            function,
        )
        if issue["message"] != NO_FAULT.get(function["name"])
    ]

    assert len(functions) > 40
    assert findings == []


# The Supabase CLI.


def test_db_push_applies_the_bundle_and_the_advisors_find_nothing(
    server: Server, own_database: str, tmp_path: Path
) -> None:
    migrations = tmp_path / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (tmp_path / "supabase" / "config.toml").write_text('project_id = "test"\n')
    (migrations / "20260101000000_session_approval.sql").write_text(bundle(psql.INSTALL))
    address = server.create("test_push", "template0")
    try:
        psql.apply(address, [psql.SUPABASE, psql.STARTER])
        supabase(address, tmp_path, "db", "push", "--yes")
        advice = supabase(
            address, tmp_path, "db", "advisors", "--level", "info", "--fail-on", "error"
        )
        with actors.connect(address) as db, actors.connect(own_database) as installed:
            versions = db.execute(
                "select version from supabase_migrations.schema_migrations"
            ).fetchall()
            db.execute("drop schema supabase_migrations cascade")
            assert schema(db) == schema(installed)
        assert versions == [{"version": "20260101000000"}]
        findings = json.loads(advice[advice.index("[") :])
        assert {
            finding["name"]
            if finding["level"] == "INFO"
            else f"{finding['name']}: {finding['metadata']['name']}"
            for finding in findings
        } <= EXPECTED, advice
    finally:
        server.drop("test_push")
