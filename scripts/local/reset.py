"""Delete the data of the local stack."""

import shutil

import click

from scripts import CommandError
from scripts.local import LOCAL
from scripts.local.postgres import EmbeddedPostgres


@click.command(help=__doc__)
def main() -> None:
    """Delete the folder, unless a stack is using it."""
    folder = LOCAL / "run"
    try:
        # Only one process can have the data directory: when it starts here, no stack is running.
        with EmbeddedPostgres(folder / "postgres"):
            pass
    except CommandError as error:
        if "in use" in str(error):
            raise CommandError(f"{error}. Stop it with Ctrl-C first.") from None
    shutil.rmtree(folder, ignore_errors=True)
    print("The local data is gone; make run starts afresh.")
