"""Everything that is run at a prompt: python -m scripts --help lists it."""

from pathlib import Path
from typing import IO, Any

import click

ROOT = Path(__file__).resolve().parents[1]


class CommandError(click.ClickException):
    """A command cannot do its work; the message says why, and what to do."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message alone."""
        click.echo(self.message, file=file, err=True)
