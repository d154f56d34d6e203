"""Install the product into a database, in one transaction or online; safe to run again."""

import argparse
import os
import sys

from scripts.local import StackError, database


def main() -> int:
    """Apply sql/install.sql with psql, as the README's own command does."""
    parser = argparse.ArgumentParser(
        prog="make apply DATABASE_URL=postgresql://...", description=__doc__
    )
    parser.add_argument("database_url", nargs="?", default=os.environ.get("DATABASE_URL"))
    parser.add_argument(
        "--starter", action="store_true", help="make the base tables first, for a new project"
    )
    parser.add_argument(
        "--supabase",
        action="store_true",
        help="make the roles and auth.uid() first, for plain Postgres",
    )
    parser.add_argument(
        "--online",
        action="store_true",
        help="for large tables in use: many short transactions, so that no writer waits long",
    )
    arguments = parser.parse_args()
    if not arguments.database_url:
        parser.error("name the database: make apply DATABASE_URL=postgresql://...")
    files = [
        *([database.SUPABASE] if arguments.supabase else []),
        *([database.STARTER] if arguments.starter else []),
        *([] if arguments.online else [database.INSTALL]),
    ]
    try:
        if files:
            database.apply(arguments.database_url, files)
        if arguments.online:
            database.apply_online(arguments.database_url)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    print("Installed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
