"""The arrows between the parts of the API: imports run one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import ROOT

# What each part of api/ may import beside itself.
MAY_IMPORT = {
    "routes": {"contract", "serving", "config", "identity", "supabase", "video"},
    "contract": {"serving", "config"},
    "identity": {"serving", "config"},
    "video": {"serving", "config"},
    "supabase": {"serving", "config"},
    "serving": {"config"},
    "config": set(),
}
MODULES = sorted((ROOT / "api").rglob("*.py"))
OUTSIDE = [ROOT / "serve.py", *sorted((ROOT / "scripts").rglob("*.py"))]


def part_of(module: Path) -> str:
    """Return the part that a module belongs to; "" for api/__init__.py, which knows them all."""
    place = module.relative_to(ROOT / "api").with_suffix("").parts
    return "" if place == ("__init__",) else place[0]


def imported(module: Path) -> Iterator[str]:
    """Yield the full name of everything that a module imports from api, wherever it does so."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "api")


def test_every_part_of_the_api_is_looked_at() -> None:
    assert len(MODULES) >= 25
    assert len(OUTSIDE) >= 50
    assert {part_of(module) for module in MODULES} == {"", *MAY_IMPORT}
    assert sum(len(list(imported(module))) for module in MODULES) >= 100


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())
def test_a_part_imports_only_the_parts_below_it(module: Path) -> None:
    part = part_of(module)
    if part == "":
        return
    for name in imported(module):
        target = name.split(".")[1]
        assert target in {part} | MAY_IMPORT[part], name
        assert target != "routes", f"{name}: nothing imports a route, not even another route"


def test_nothing_outside_the_api_imports_a_route() -> None:
    for module in OUTSIDE:
        assert not [name for name in imported(module) if name.startswith("api.routes")], module
