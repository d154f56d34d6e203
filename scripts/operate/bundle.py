"""Write the install as one file without psql meta-commands, for SQL editors and migrations."""

import hashlib
import re
from pathlib import Path

import click

from scripts import ROOT

_INCLUDE = re.compile(r"^\\ir (\S+)$")
_VERSION = re.compile(r"as \$\$ select '([^']+)' \$\$;")


def version() -> str:
    """Return the release's number, which sql/install/version.sql says."""
    file = ROOT / "sql" / "install" / "version.sql"
    if found := _VERSION.search(file.read_text()):
        return found[1]
    raise ValueError(f"{file} says no version")


def bundle(file: Path, root: Path = ROOT) -> str:
    """Return a file's text with every include replaced by the text of the file that it names.

    Each of these files is named above its text, by its path from the root.
    """
    lines = []
    for line in file.read_text().splitlines():
        if include := _INCLUDE.match(line):
            part = file.parent / include[1]
            lines.append(f"-- {part.relative_to(root)}")
            lines.append(bundle(part, root))
        elif line.startswith("\\"):
            raise ValueError(f"{file}: a bundle cannot hold the psql command {line!r}")
        else:
            lines.append(line)
    return "\n".join(lines)


def headed(text: str) -> str:
    """Return a bundle's text under two lines that say which release it is, and its checksum."""
    body = text.rstrip() + "\n"
    checksum = hashlib.sha256(body.encode()).hexdigest()
    return (
        f"-- Session approval {version()}\n"
        f"-- sha256 {checksum} of what follows: tail -n +3 FILE | sha256sum\n{body}"
    )


@click.command(help=__doc__)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=ROOT / "build" / "session_approval.sql",
    help="Another file.  [default: build/session_approval.sql]",
)
def main(output: Path) -> None:
    """Write the bundle and say where it is."""
    text = headed(bundle(ROOT / "sql" / "install.sql"))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    print(f"{output}: {version()}, {len(text.splitlines())} lines")
