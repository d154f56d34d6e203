"""make mutants: there are enough of them, the excused ones exist, and some are killed."""

from collections import Counter

import pytest

from scripts.local import ROOT, StackError
from scripts.mutants import sql
from scripts.mutants.__main__ import equivalent
from scripts.mutants.mutant import Mutant
from scripts.mutants.runner import Runner
from scripts.mutants.which import which_tests

MUTANTS = {mutant.id: mutant for mutant in sql.mutants()}
_FILE = "sql/functions/list_clients.sql"
_END = len((ROOT / _FILE).read_text())
NO_MUTANT = Mutant(f"{_FILE}:same:1", _FILE, _END, _END, "\n", "")


def test_the_sql_comes_apart_in_every_way_and_each_change_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) > 1500
    rules = Counter(id.split(":")[1] for id in MUTANTS)
    assert set(rules) == set(sql.RULES)
    folders = Counter(mutant.path.split("/")[1] for mutant in MUTANTS.values())
    assert (
        min(folders[f] for f in ("functions", "triggers", "views", "policies", "migrations")) > 10
    )


def test_a_change_touches_code_alone() -> None:
    texts = {mutant.path: (ROOT / mutant.path).read_text() for mutant in MUTANTS.values()}
    codes = {path: sql.code_of(text)[0] for path, text in texts.items()}
    for mutant in list(MUTANTS.values())[::7]:
        changed = mutant.apply(texts[mutant.path])
        assert sql.code_of(changed)[0] != codes[mutant.path], mutant.id


def test_every_excused_mutant_exists_on_the_line_that_its_reason_is_about() -> None:
    excused = equivalent()
    for name, about in excused.items():
        assert len(about["why"]) > 20, name
        if name.startswith("sql/"):
            assert MUTANTS[name].line == about["line"], name
        else:
            lines = (ROOT / name.split(":")[0]).read_text().splitlines()
            assert about["line"] in [line.strip() for line in lines], name


def test_every_mutant_meets_a_test() -> None:
    assert [name for name in MUTANTS if not which_tests(name)] == []


def test_a_test_that_fails_without_a_mutant_kills_none() -> None:
    with Runner(wider=False) as runner:
        (runner.tree / "tests/sql/test_list_clients.py").write_text(
            "def test_red() -> None:\n    assert False\n"
        )
        with pytest.raises(StackError, match="test_red also fails without a mutant"):
            runner.run(NO_MUTANT, [])


def test_mutants_are_killed_and_what_changes_nothing_survives() -> None:
    with Runner(wider=False) as runner:
        survivor = runner.run(NO_MUTANT, [])
        killed = [
            runner.run(MUTANTS[name], [])
            for name in (
                "sql/views/clients.sql:no-condition:1",
                "sql/functions/list_clients.sql:no-search-path:1",
                "sql/functions/reconcile_credits.sql:same:1",
            )
        ]

    assert (survivor.outcome, survivor.by) == ("survived", "")
    assert [result.by.partition("::")[0] for result in killed] == [
        "tests/sql/test_list_clients.py",
        "tests/sql/test_catalogue.py",
        "tests/sql/test_reconcile_credits.py",
    ]
