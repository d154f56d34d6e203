"""The product's SQL files: one object in each, named after it."""

from pathlib import Path

from scripts import ROOT

SQL = ROOT / "sql"
NOUNS = ("base", "people", "credits", "calendar", "sessions", "video")
_LISTS = ("install.sql", "triggers.sql")
_LEAST = 80  # files, today; far fewer means that they were looked for in the wrong place


def object_files() -> list[Path]:
    """Return every file of one function, view, trigger or policy; raise if they are not found."""
    files = [
        file
        for folder in (*NOUNS, "install", "uninstall")
        for file in sorted((SQL / folder).glob("*.sql"))
        if file.name not in _LISTS
    ]
    if len(files) < _LEAST:
        raise FileNotFoundError(f"only {len(files)} SQL files of objects below {SQL}")
    return files


def object_file(name: str) -> Path:
    """Return the file of the object of that name."""
    [file] = [file for file in object_files() if file.stem == name]
    return file
