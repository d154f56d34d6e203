"""The API's house rules, held by reading it."""

import re

import pytest
from flask import Flask

from api import create_app
from api.config import Settings
from scripts.local import ROOT
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


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())
def test_python_knows_no_table_and_no_status(module: object) -> None:
    text = module.read_text()  # type: ignore[attr-defined]
    for name in TABLES:
        assert name not in text
    for name in STATUSES:
        assert not re.search(rf"['\"]{name}['\"]", text), name


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())
def test_a_module_stays_small_enough_to_read(module: object) -> None:
    assert len(module.read_text().splitlines()) <= 180  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())
def test_only_config_reads_the_environment(module: object) -> None:
    text = module.read_text()  # type: ignore[attr-defined]
    assert bool(re.search(r"os\.environ|getenv", text)) == (module.name == "config.py")  # type: ignore[attr-defined]


def test_every_route_of_the_api_documents_its_refusals(settings: Settings) -> None:
    app: Flask = create_app(settings)
    seen = 0
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            view = app.view_functions[rule.endpoint]
            assert re.search(r"[Rr]efus", view.__doc__ or ""), rule
            seen += 1
    assert seen >= 13


def test_every_function_that_the_api_calls_is_a_door_in_sql() -> None:
    called = set()
    for module in MODULES:
        called |= set(re.findall(r"supabase\.call\w*\(\s*\"(\w+)\"", module.read_text()))
    assert len(called) >= 12
    for name in called:
        text = object_file(name).read_text()
        assert f"create or replace function public.{name}(" in text
