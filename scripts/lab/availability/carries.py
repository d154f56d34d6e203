"""Measure what one Postgres carries: approvals a second, and bytes of log and table a session."""

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from scripts.lab.availability import parts
from scripts.lab.availability.people import People, client_id, therapist_id
from scripts.local import StackError
from scripts.local.postgres import WHEEL_BIN, EmbeddedPostgres

_YEAR = 365 * 24 * 3600
_PEAK_HOURS = 1500  # how many of its busiest hours a year is worth: 5 a working day
_SHARE = 0.5  # of what was measured, in the busiest hour
_CONNECTIONS = (1, 8, 32)
_WALLETS = 1000  # people whose credits pay, as the script below counts them
# As PostgREST calls it with a client's token; each connection has sessions of its own, in turn.
_APPROVE = """
\\set session :client_id * :each + :turn
\\set turn :turn + 1
\\set person :session % 1000
begin;
select
  set_config('role', 'authenticated', true),
  set_config(
    'request.jwt.claims',
    json_build_object(
      'role', 'authenticated', 'sub', '00000000-0000-4000-9000-' || lpad(:person::text, 12, '0')
    )::text,
    true);
select * from public.approve_session_and_deduct_credit(
  ('00000000-0000-4000-a000-' || lpad(:session::text, 12, '0'))::uuid);
commit;
"""
# A session's life, each act by the person who does it.
_ACTS = {
    "proposed": ("therapist", "create_custom_session(%(client)s, p_is_instant => true)"),
    "approved": ("client", "approve_session_and_deduct_credit(%(session)s)"),
    "joined": ("client", "join_session(%(session)s)"),
    "finished": ("therapist", "finish_session(%(session)s, 'completed')"),
}
_SIZES = """
select c.oid::regclass::text, pg_table_size(c.oid), pg_indexes_size(c.oid)
from pg_class c
where c.oid in (
  'public.sessions'::regclass, 'session_approval.session_events'::regclass,
  'session_approval.credit_ledger'::regclass, 'session_approval.bookings'::regclass)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures, then the arithmetic."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.lab.availability.carries",
        description=__doc__,
        epilog="It needs nothing beyond make. How lists and the calendar behave as the tables grow"
        " is python -m scripts.lab.bench.sizes.",
    )
    parser.add_argument("--sessions", type=int, default=1000, help="lived through (%(default)s)")
    parser.add_argument("--approvals", type=int, default=6000, help="a rate (%(default)s)")
    given = parser.parse_args(arguments)
    return parts.run(lambda folder: _measure(folder, given.sessions, given.approvals))


def _measure(folder: Path, sessions: int, approvals: int) -> int:
    with EmbeddedPostgres(folder / "postgres") as server:
        rates = _rates(server, folder, approvals)
        People(clients=50, sessions=1).install(server.uri())
        with psycopg.connect(server.uri(), autocommit=True) as db:
            before = _sizes(db)
            log = _live(db, sessions)
            db.execute("vacuum")
            after = _sizes(db)
    print("Approvals a second in SQL, fsync on, with so many connections:")
    for clients, rate in rates.items():
        print(f"  {clients:>3}  {rate:>7.0f}")
    print(f"\nBytes of write-ahead log a session, of {sessions} lived through one by one:")
    for act, size in log.items():
        print(f"  {act:12}{size / sessions:>8.0f}")
    whole = sum(log.values()) / sessions
    print(f"  {'in all':12}{whole:>8.0f}")
    print("\nBytes a session, and GB a million:")
    total = 0.0
    for table, (rows, indexes) in after.items():
        each = [
            (now - then) / sessions
            for now, then in zip((rows, indexes), before[table], strict=True)
        ]
        total += sum(each)
        print(f"  {table:34}{each[0]:>7.0f} and indexes {each[1]:>5.0f}{sum(each) / 1000:>8.2f} GB")
    print(f"  {'in all':34}{total:>27.0f}{total / 1000:>8.2f} GB")
    best = max(rates.values())
    print(
        f"\n{best:.0f}/s around the clock is {best * _YEAR / 1e9:.1f} billion a year. With the"
        f" busiest hour at {_SHARE:.0%} of it,\nand a year worth {_PEAK_HOURS} such hours:"
        f" {best * _SHARE * 3600 * _PEAK_HOURS / 1e9:.1f} billion sessions a year."
    )
    print(
        f"A million sessions a year: one every {_YEAR / 1e6:.0f} s on average,"
        f" {total / 1000:.1f} GB of tables, {whole / 1000:.1f} GB of log to ship or archive."
    )
    return 0


def _rates(server: EmbeddedPostgres, folder: Path, approvals: int) -> dict[int, float]:
    """Approve with pgbench, each time with sessions and people of their own."""
    (folder / "approve.sql").write_text(_APPROVE)
    rates = {}
    for clients in _CONNECTIONS:
        each = approvals // clients
        with psycopg.connect(server.uri(), autocommit=True) as db:
            db.execute("drop database if exists rates with (force)")
            db.execute("create database rates")
        People(clients=_WALLETS, sessions=approvals).install(server.uri("rates"))
        ran = subprocess.run(
            [
                *(WHEEL_BIN / "pgbench", "--no-vacuum", "--protocol=prepared"),
                *(f"--client={clients}", f"--jobs={min(clients, 2)}"),
                *(f"--transactions={each}", f"--define=each={each}"),
                *("--define=turn=0", f"--file={folder / 'approve.sql'}", server.uri("rates")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        rate = re.search(r"^tps = ([\d.]+)", ran.stdout, re.M)
        if ran.returncode != 0 or rate is None:
            raise StackError(f"pgbench stopped:\n{ran.stdout}{ran.stderr[:2000]}")
        rates[clients] = float(rate[1])
    return rates


def _live(db: psycopg.Connection, sessions: int) -> Counter[str]:
    """Live through so many sessions; count each act's bytes of log."""
    log: Counter[str] = Counter()
    for number in range(sessions):
        people = {"client": client_id(number % 50), "therapist": therapist_id(number % 10)}
        values: dict[str, Any] = dict(people)
        for act, (who, call) in _ACTS.items():
            [[start]] = db.execute("select pg_current_wal_insert_lsn()").fetchall()
            with db.transaction():
                db.execute(
                    "select set_config('role', 'authenticated', true),"
                    " set_config('request.jwt.claims', json_build_object("
                    "   'role', 'authenticated', 'sub', %s::text)::text, true)",
                    (people[who],),
                )
                row = db.execute(f"select * from public.{call}".encode(), values).fetchone()  # noqa: S608
            if act == "proposed" and row:
                values["session"] = row[0]
            [[size]] = db.execute(
                "select pg_current_wal_insert_lsn() - %s::pg_lsn", (start,)
            ).fetchall()
            log[act] += int(size)
    return log


def _sizes(db: psycopg.Connection) -> dict[str, tuple[int, int]]:
    return {table: (rows, indexes) for table, rows, indexes in db.execute(_SIZES).fetchall()}


if __name__ == "__main__":
    sys.exit(main())
