"""docs/install.md names everything that an install changes in the application's tables."""

import re

from scripts import ROOT
from scripts.operate.sql_files import object_file
from tests.actors import Connection

DOC = (ROOT / "docs" / "install.md").read_text()
ROWS = dict(re.findall(r"^\| (.*?) \| (.*) \|$", DOC, re.M))


def named(where: str) -> set[str]:
    """Return what one row of the table lists."""
    return set(re.findall(r"`([!~]?\w+)`", ROWS[where])) - {"duration", "no_show_by_is_known"}


def assert_named(where: str, names: set[str]) -> None:
    """Fail unless a row of the table lists these names, and say which to add or to remove."""
    wrong = [f"add `{name}`" for name in sorted(names - named(where))]
    wrong += [f"remove `{name}`" for name in sorted(named(where) - names)]
    assert wrong == [], f"docs/install.md, 'What it touches', row '{where}': {', '.join(wrong)}"


def test_the_page_lists_the_columns_and_indexes_that_an_install_adds(db: Connection) -> None:
    changes = db.execute("select kind, name from session_approval.install_changes").fetchall()

    def added(kind: str, table: str = "") -> set[str]:
        names = [c["name"] for c in changes if c["kind"] == kind and c["name"].startswith(table)]
        return {name.rpartition(".")[2] for name in names}

    assert_named("`public.sessions`, columns where missing", added("column", "sessions."))
    assert_named("`public.user_credits`, columns where missing", added("column", "user_credits."))
    assert_named("indexes", added("index"))


def test_the_page_lists_the_triggers_and_policies_in_the_database(db: Connection) -> None:
    db.execute("alter table public.sessions add column duration integer")
    db.execute(object_file("fill_duration").read_text())
    for table in ("sessions", "user_credits"):
        triggers = db.execute(
            "select tgname as name from pg_trigger where tgrelid = %s::regclass"
            " and not tgisinternal",
            (f"public.{table}",),
        )
        assert named(f"triggers on `{table}`") == {trigger["name"] for trigger in triggers}
    policies = db.execute(
        "select policyname as name from pg_policies where tablename in ('sessions', 'user_credits')"
    )
    assert set(re.findall(r'"(.*?)"', ROWS["policies, where row level security is on"])) == {
        policy["name"] for policy in policies
    }


def test_every_file_and_target_on_the_page_exists() -> None:
    paths = re.findall(r"\b((?:sql|scripts)/[\w/]+\.\w+)", DOC)
    assert len(paths) >= 5
    for path in paths:
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named_targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", DOC, re.M))
    assert named_targets
    assert named_targets <= targets
