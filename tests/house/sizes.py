"""How many lines each part of the house has: a smell, not a limit."""

from collections import Counter

from scripts import ROOT
from scripts.operate.sql_files import files_below

_SUFFIXES = {".py", ".sql", ".js", ".css", ".html", ".sh", ".txt"}


def lines_by_part() -> dict[str, Counter[str]]:
    """Return the lines of code of api, sql, scripts and tests, by the folders in each."""
    sizes: dict[str, Counter[str]] = {}
    for house in ("api", "sql", "scripts", "tests"):
        sizes[house] = Counter()
        for file in files_below(ROOT / house, "*.*", at_least=30):
            if file.suffix in _SUFFIXES:
                part = file.relative_to(ROOT / house).parts[0]
                name = "" if part == file.name else part
                sizes[house][name] += len(file.read_text().splitlines())
    return sizes


def report() -> list[str]:
    """Return a line for each of them, the largest parts first."""
    return [
        f"{house:<8}{parts.total():>7,}   "
        + ", ".join(f"{part or 'beside them'} {lines:,}" for part, lines in parts.most_common())
        for house, parts in lines_by_part().items()
    ]
