"""The API's house rules, held by reading it."""

import ast
import re
import warnings
from pathlib import Path

import pytest

from scripts import ROOT
from scripts.operate.sql_files import object_file

MODULES = sorted((ROOT / "api").rglob("*.py"))

TABLES = ["user_credits", "session_events", "credit_ledger", "session_approval.", "public."]
STATUSES = [
    "pending_approval",
    "scheduled",
    "confirmed",
    "in_progress",
    "completed",
    "no_show",
    "cancelled",
]


def test_the_api_has_modules_to_read() -> None:
    assert len(MODULES) >= 25


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())
def test_python_knows_no_table_and_no_status(module: Path) -> None:
    text = module.read_text()
    for name in TABLES:
        assert name not in text
    for name in STATUSES:
        assert not re.search(rf"['\"]{name}['\"]", text), name


def test_a_module_or_function_that_grew_long_is_named() -> None:
    """Sizes are a smell and no limit: what is long is printed as a warning, for a second look."""
    for module in MODULES:
        text = module.read_text()
        sizes = {str(module.relative_to(ROOT)): (len(text.splitlines()), 200)}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                sizes[f"{module.relative_to(ROOT)}: {node.name}"] = (lines, 90)
        for name, (lines, usual) in sizes.items():
            if lines > usual:
                warnings.warn(f"{name} has {lines} lines", stacklevel=1)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())
def test_only_config_reads_the_environment(module: Path) -> None:
    text = module.read_text()
    assert bool(re.search(r"os\.environ|getenv", text)) == (module.name == "config.py")


def test_every_function_that_the_api_calls_is_an_entry_point_in_sql() -> None:
    called = set()
    for module in MODULES:
        called |= set(re.findall(r"supabase\.call\w*\(\s*\"(\w+)\"", module.read_text()))
    assert len(called) >= 12
    for name in called:
        text = object_file(name).read_text()
        assert f"create or replace function public.{name}(" in text
