"""The product's SQL files: one object in each, named after it."""

from pathlib import Path

from scripts import ROOT

SQL = ROOT / "sql"
NOUNS = ("base", "people", "credits", "calendar", "sessions", "video")
_LISTS = ("install.sql", "triggers.sql")


def files_below(folder: Path, pattern: str, at_least: int) -> list[Path]:
    """Return the files of a folder and of those below it, in order of their paths.

    Raise if there are fewer than expected: then they were looked for in the wrong place.
    """
    files = sorted(folder.rglob(pattern))
    if len(files) < at_least:
        raise FileNotFoundError(f"{len(files)} files {pattern} below {folder}, not {at_least}")
    return files


def all_files() -> list[Path]:
    """Return every SQL file of the product."""
    return files_below(SQL, "*.sql", at_least=100)


def migrations() -> list[Path]:
    """Return the files of what holds data, in the order in which they are applied."""
    return files_below(SQL / "migrations", "*.sql", at_least=8)


def object_files() -> list[Path]:
    """Return every file of one function, view, trigger or policy."""
    return [
        file
        for folder in (*NOUNS, "install", "uninstall")
        for file in files_below(SQL / folder, "*.sql", at_least=2)
        if file.name not in _LISTS
    ]


def object_file(name: str) -> Path:
    """Return the file of the object of that name."""
    [file] = [file for file in object_files() if file.stem == name]
    return file
