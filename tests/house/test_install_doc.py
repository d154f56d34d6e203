"""docs/install.md names everything that an install does to the tables that it finds."""

import re

from scripts import ROOT
from scripts.operate.sql_files import object_file
from tests.actors import Connection

DOC = (ROOT / "docs" / "install.md").read_text()
ROWS = dict(re.findall(r"^\| (.*?) \| (.*) \|$", DOC, re.M))


def named(where: str) -> set[str]:
    """Return what one row of the table lists."""
    return set(re.findall(r"`(\w+)`", ROWS[where])) - {"duration", "no_show_by_is_known"}


def assert_named(where: str, names: set[str]) -> None:
    """Fail unless a row of the table lists these names, and say which to add or to remove."""
    wrong = [f"add `{name}`" for name in sorted(names - named(where))]
    wrong += [f"remove `{name}`" for name in sorted(named(where) - names)]
    assert wrong == [], f"docs/install.md, 'What it touches', row '{where}': {', '.join(wrong)}"


def test_the_columns_and_indexes_are_those_that_an_install_adds(db: Connection) -> None:
    notes = db.execute("select kind, name from session_approval.install_changes").fetchall()

    def noted(kind: str, table: str = "") -> set[str]:
        names = [n["name"] for n in notes if n["kind"] == kind and n["name"].startswith(table)]
        return {name.rpartition(".")[2] for name in names}

    assert_named("`public.sessions`, columns where missing", noted("column", "sessions."))
    assert_named("`public.user_credits`, columns where missing", noted("column", "user_credits."))
    assert_named("indexes", noted("index"))


def test_the_triggers_and_policies_are_those_in_the_database(db: Connection) -> None:
    db.execute("alter table public.sessions add column duration integer")
    db.execute(object_file("fill_duration").read_text())
    for table in ("sessions", "user_credits"):
        there = db.execute(
            "select tgname as name from pg_trigger where tgrelid = %s::regclass"
            " and not tgisinternal",
            (f"public.{table}",),
        )
        assert named(f"triggers on `{table}`") == {found["name"] for found in there}
    policies = db.execute(
        "select policyname as name from pg_policies where tablename in ('sessions', 'user_credits')"
    )
    assert set(re.findall(r'"(.*?)"', ROWS["policies, where row level security is on"])) == {
        found["name"] for found in policies
    }


def test_every_file_and_target_that_it_names_exists() -> None:
    for path in re.findall(r"\b((?:sql|scripts)/[\w/]+\.\w+)", DOC):
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", DOC, re.M)) <= targets
