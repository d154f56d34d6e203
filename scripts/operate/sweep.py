"""Put away what time has ended: unanswered proposals, sessions that are over, expired credits."""

import time

import click

from scripts import CommandError
from scripts.operate import connection

_BATCH = 500  # of each kind, that one call of sweep_sessions() takes at most


@click.command(
    help=f"{__doc__} For databases without pg_cron, which the install sets up to do the same."
    " Safe to run from two places.",
    epilog="Exit status: 0 when all is put away, 2 when the database does not let it.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Go on until Ctrl-C.",
)
@connection.option
def main(every: float | None, database_url: str) -> None:
    """Sweep once, or again and again."""
    connection.require(database_url)
    if every is None:
        print(_told(sweep(database_url)))
        return
    try:
        while True:
            try:
                print(_told(sweep(database_url)), flush=True)
            except CommandError as error:
                error.show()  # and try again: the database may be away for a moment
            time.sleep(every)
    except KeyboardInterrupt:
        return


def sweep(address: str) -> dict[str, int]:
    """Sweep a database until nothing is left, and return how many of each kind were put away."""
    totals: dict[str, int] = {}
    with connection.connected(address, autocommit=True) as db:
        while True:
            swept = db.execute("select * from public.sweep_sessions()").fetchone() or {}
            totals = {kind: totals.get(kind, 0) + number for kind, number in swept.items()}
            if max(swept.values(), default=0) < _BATCH:
                return totals


def _told(totals: dict[str, int]) -> str:
    done = ", ".join(f"{kind.replace('_', ' ')}: {count}" for kind, count in totals.items())
    return f"{time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}  {done}"
