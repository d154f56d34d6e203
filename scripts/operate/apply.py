"""Install the product into a database, in one transaction or online; safe to run again."""

import click

from scripts.operate import connection, psql


@click.command(help=__doc__)
@connection.argument
@click.option(
    "--starter", is_flag=True, help="Make the tables of the application first: for a new project."
)
@click.option(
    "--supabase", is_flag=True, help="Make the roles and auth.uid() first: for plain Postgres."
)
@click.option(
    "--online",
    is_flag=True,
    help="For large tables in use: many short transactions, so that no writer waits long.",
)
def main(database_url: str, starter: bool, supabase: bool, online: bool) -> None:
    """Apply sql/install.sql with psql, as the README's own command does."""
    connection.require(database_url)
    files = [
        *([psql.SUPABASE] if supabase else []),
        *([psql.STARTER] if starter else []),
        *([] if online else [psql.INSTALL]),
    ]
    if files:
        psql.apply(database_url, files)
    if online:
        psql.apply_online(database_url)
    print("Installed.")
