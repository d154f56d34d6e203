"""Subcommands that are imported only when they are called."""

import ast
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from scripts import ROOT, CommandError


class LazyGroup(click.Group):
    """A group whose subcommands are each the `main` of a module.

    The list of them imports nothing: a command's summary is the first line of its module. So an
    operator needs no package that only another command uses. A module that is not there, as in the
    image, is left out of the list.
    """

    def __init__(self, *, modules: Mapping[str, str], **settings: Any) -> None:
        """Name the module of each subcommand."""
        super().__init__(**settings)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the subcommands that are here."""
        return [name for name, module in self._modules.items() if _file(module).exists()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in self.list_commands(ctx):
            return None
        try:
            command: click.Command = import_module(self._modules[cmd_name]).main
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(("scripts", "api")):
                raise
            raise CommandError(
                f"{cmd_name} needs a package that is not installed, {error.name}:"
                " pip install -r requirements-dev.txt"
            ) from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands, by the folder of their modules where there are several."""
        folders: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            module = self._modules[name]
            rows = folders.setdefault(module.split(".")[1], [])
            rows.append((name, _summary(module)))
        for folder, rows in folders.items():
            with formatter.section(folder.capitalize() if len(folders) > 1 else "Commands"):
                formatter.write_dl(rows)


def _file(module: str) -> Path:
    place = ROOT / module.replace(".", "/")
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _summary(module: str) -> str:
    """Return the first line of a module's description without importing the module."""
    description = ast.get_docstring(ast.parse(_file(module).read_text()))
    return (description or "").partition("\n")[0]
