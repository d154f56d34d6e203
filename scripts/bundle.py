"""Write the install as one file without psql meta-commands, for SQL editors and migrations."""

import argparse
import re
import sys
from pathlib import Path

from scripts.local import ROOT

_INCLUDE = re.compile(r"^\\ir (\S+)$")


def bundle(file: Path) -> str:
    """Return a file's text with every include replaced by the text of the file that it names."""
    lines = []
    for line in file.read_text().splitlines():
        if include := _INCLUDE.match(line):
            part = file.parent / include[1]
            lines.append(f"-- {part.relative_to(ROOT)}")
            lines.append(bundle(part))
        elif line.startswith("\\"):
            raise ValueError(f"{file}: a bundle cannot hold the psql command {line!r}")
        else:
            lines.append(line)
    return "\n".join(lines)


def main() -> int:
    """Write the bundle and say where it is."""
    parser = argparse.ArgumentParser(prog="make bundle", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "session_approval.sql")
    arguments = parser.parse_args()
    text = bundle(ROOT / "sql" / "install.sql")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text.rstrip() + "\n")
    print(f"{arguments.output}: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
