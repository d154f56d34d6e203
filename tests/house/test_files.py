"""A test or a command that searches for files fails where it finds too few of them."""

import re

import pytest

from scripts import ROOT
from scripts.operate.sql_files import files_below, object_file

# Files with a search of their own, each with why.
ALLOWED = {
    "scripts/operate/sql_files.py": "the search that all others use",
    "scripts/lab/torture/stage.py": "libfaketime is not there for every machine",
    "tests/api/test_contract.py": "a sentence that is in no file fails",
    "tests/house/test_commands.py": "the commands that it finds are counted",
    "tests/house/test_conventions.py": "its modules are counted",
    "tests/house/test_imports.py": "its modules are counted",
    "tests/house/test_linters.py": "plpgsql_check is not installed everywhere",
    "tests/house/test_readme.py": "the files of requirements are counted",
    "tests/install/test_releases.py": "no release is kept before 1.0.0; later, none is an error",
    "tests/lab/test_availability.py": "its programs are compared with those on the page",
}


def test_files_are_searched_for_by_the_function_that_counts_them() -> None:
    files = [
        file
        for folder, at_least in (("tests", 90), ("scripts", 50))
        for file in files_below(ROOT / folder, "*.py", at_least)
    ]
    searching = {
        file.relative_to(ROOT).as_posix()
        for file in files
        if re.search(r"\b(?:glob|iglob|rglob)\(", file.read_text())
    }

    assert searching - ALLOWED.keys() == set(), "call files_below, of scripts/operate/sql_files.py"


@pytest.mark.parametrize(("folder", "pattern"), [("sql", "*.py"), ("sq", "*.sql")])
def test_a_search_in_the_wrong_place_or_for_a_wrong_name_fails(folder: str, pattern: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"0 files {re.escape(pattern)} below"):
        files_below(ROOT / folder, pattern, at_least=1)


def test_an_object_without_a_file_is_an_error() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        object_file("no_such_object")
