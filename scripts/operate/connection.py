"""The database of an operator's command: its address, and messages where it cannot be used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import psycopg
from dotenv import load_dotenv
from psycopg.rows import dict_row

from scripts import CommandError

Connection = psycopg.Connection[dict[str, Any]]


class NoAnswer(CommandError):
    """A command could not look, so it cannot say whether all is well."""

    exit_code = 2


def _or_environment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """Read .env, which the other settings may be in too; then take the address given, or its."""
    load_dotenv()
    return value or os.environ.get("DATABASE_URL", "")


argument = click.argument("database_url", required=False, callback=_or_environment)
option = click.option(
    "--database-url",
    metavar="ADDRESS",
    callback=_or_environment,
    help="The database, as its owner.  [default: DATABASE_URL]",
)


def require(address: str) -> None:
    """Refuse to go on without an address."""
    if not address:
        raise click.UsageError("Name the database: an address, or DATABASE_URL in the environment.")


@contextmanager
def connected(
    address: str, failure: type[CommandError] = NoAnswer, *, autocommit: bool = False
) -> Iterator[Connection]:
    """Yield a connection; what the database refuses ends the command with the database's words."""
    require(address)
    try:
        with psycopg.connect(
            address, autocommit=autocommit, row_factory=dict_row, connect_timeout=10
        ) as db:
            yield db
    except psycopg.OperationalError as error:
        raise failure(f"The database does not answer: {error}") from None
    except (
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.UndefinedFunction,
        psycopg.errors.UndefinedTable,
    ):
        raise failure("The product is not installed there: make apply DATABASE_URL=...") from None
    except psycopg.Error as error:
        detail = error.diag.message_detail
        words = f"Refused: {error.diag.message_primary or error}"
        raise failure(words if detail in (None, "null") else f"{words}\n  {detail}") from None
