"""Put away what time has ended: unanswered proposals, sessions that are over, expired credits."""

import argparse
import os
import sys
import time

import psycopg
from dotenv import load_dotenv
from psycopg.rows import dict_row

_BATCH = 500  # of each kind, that one call of sweep_sessions() takes at most


def main(arguments: list[str] | None = None) -> int:
    """Sweep once, or again and again; 0 when all is put away, 2 when the database cannot be had."""
    load_dotenv()
    parser = argparse.ArgumentParser(
        prog="python -m scripts.operate.sweep",
        description=f"{__doc__} For databases without pg_cron, which the install sets to do the "
        "same. Safe to run from two places.",
    )
    parser.add_argument("--every", type=float, metavar="SECONDS", help="go on, until Ctrl-C")
    parser.add_argument("--database-url", default=os.environ.get("DATABASE_URL"))
    given = parser.parse_args(arguments)
    if not given.database_url:
        parser.error("name the database with --database-url or DATABASE_URL")
    if given.every is not None and given.every <= 0:
        parser.error("--every must be more than 0 seconds")
    while True:
        swept = _told(given.database_url)
        if given.every is None:
            return 0 if swept else 2
        try:
            time.sleep(given.every)
        except KeyboardInterrupt:
            return 0


def sweep(address: str) -> dict[str, int]:
    """Sweep a database until nothing is left, and return how many of each kind were put away."""
    totals: dict[str, int] = {}
    with psycopg.connect(address, autocommit=True, connect_timeout=10, row_factory=dict_row) as db:
        while True:
            swept = db.execute("select * from public.sweep_sessions()").fetchone() or {}
            totals = {kind: totals.get(kind, 0) + number for kind, number in swept.items()}
            if max(swept.values(), default=0) < _BATCH:
                return totals


def _told(address: str) -> bool:
    try:
        totals = sweep(address)
    except psycopg.errors.UndefinedFunction:
        print("The product is not installed there: make apply DATABASE_URL=...", file=sys.stderr)
    except psycopg.OperationalError as error:
        print(f"The database does not answer: {error}", file=sys.stderr)
    except psycopg.Error as error:
        print(f"The database refuses: {error}", file=sys.stderr)
    else:
        done = ", ".join(f"{kind.replace('_', ' ')}: {count}" for kind, count in totals.items())
        print(f"{time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}  {done}", flush=True)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
