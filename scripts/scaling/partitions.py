"""Compare the session events in one table with the same in partitions, on millions of rows."""

import argparse
import hashlib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from scripts.local import ROOT, StackError
from scripts.local.postgres import WHEEL_BIN, EmbeddedPostgres
from scripts.scaling import parts
from scripts.scaling.people import People

CONVERT = ROOT / "scripts" / "scaling" / "partition_events.sql"
_PARTS = 24
_EACH = 4  # events of a session: proposed, approved, begun, completed
_ASKED = 300
_CONFIG = {
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "fsync": "off",  # the rows are made up
    "autovacuum": "off",  # so that it is measured when it is meant to be
}
_FILL = """
insert into session_approval.session_events (
  session_id, from_status, to_status, actor_id, created_at
)
select
  md5((n / %(each)s)::text)::uuid,
  (array['pending_approval', 'scheduled', 'in_progress', null])[1 + n %% %(each)s],
  (array['scheduled', 'in_progress', 'completed', 'pending_approval'])[1 + n %% %(each)s],
  md5((n %% 100000)::text)::uuid,
  now() - (%(rows)s - n) * (interval '2 years' / %(rows)s)
from generate_series(%(first)s::bigint, %(last)s::bigint) n
"""
_HISTORY = """
select jsonb_agg(jsonb_build_object('to_status', e.to_status) order by e.id)
from session_approval.session_events e
where e.session_id = %s
"""
_DELETE = "delete from session_approval.session_events e where e.id < {}"
_WRITE = """
insert into session_approval.session_events (session_id, to_status) values (%s, 'scheduled')
"""
Figures = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both layouts' figures side by side, and what the conversion cost."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.scaling.partitions",
        description=__doc__,
        epilog="It needs nothing beyond make. 50 million rows take some 10 minutes and 12 GB of"
        " disk in /tmp, which are given back.",
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="(default: %(default)s)")
    given = parser.parse_args(arguments)
    if given.rows < _PARTS * 1000:
        parser.error(f"--rows must be {_PARTS * 1000} or more")
    return parts.run(lambda folder: _measure(folder, given.rows))


def _measure(folder: Path, rows: int) -> int:
    with EmbeddedPostgres(folder / "postgres", config=_CONFIG) as server:
        with psycopg.connect(server.uri(), autocommit=True) as db:
            for name in ("plain", "parts"):
                db.execute(f"create database {name}")
        People(clients=1, sessions=1).install(server.uri("parts"))
        with psycopg.connect(server.uri("parts"), autocommit=True) as db:
            each = rows // _PARTS
            convert(server.uri("parts"), each, each, _PARTS)
            _fill(db, rows)
            in_parts = _figures(db, rows, "drop table session_approval.session_events_0")
        with psycopg.connect(server.uri(), autocommit=True) as db:
            db.execute("drop database parts with (force)")
            db.execute("checkpoint")
        People(clients=1, sessions=1).install(server.uri("plain"))
        with psycopg.connect(server.uri("plain"), autocommit=True) as db:
            _fill(db, rows)
            in_one = _figures(db, rows, _DELETE.format(rows // _PARTS))
        with _writing(server.uri("plain")) as waits:
            began = time.monotonic()
            convert(server.uri("plain"), 2 * rows, rows // _PARTS, _PARTS)
            took = time.monotonic() - began
    print(f"{rows:,} session events, {_PARTS} partitions by id\n")
    print(f"  {'':44}{'one table':>12}{'partitions':>12}")
    for name in in_one:
        print(f"  {name:44}{in_one[name]:>12,.2f}{in_parts[name]:>12,.2f}")
    print(
        f"\nTurning the one table into partitions took {took:.1f} s; meanwhile {len(waits)} writes,"
        f" of which the longest waited {max(waits):.2f} s."
    )
    return 0


def convert(address: str, first: int, each: int, ahead: int) -> None:
    """Run the script that turns the table into partitions."""
    variables = {"ON_ERROR_STOP": 1, "first": first, "each": each, "ahead": ahead}
    ran = subprocess.run(
        [
            *(WHEEL_BIN / "psql", "-X", "-q", "-d", address, "-f", CONVERT),
            *(word for name, value in variables.items() for word in ("-v", f"{name}={value}")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise StackError(f"{CONVERT.name} stopped:\n{ran.stderr}")


def _fill(db: psycopg.Connection, rows: int) -> None:
    """Write so many events, the indexes afterwards, in steps that keep the log small."""
    began = time.monotonic()
    db.execute("alter table session_approval.session_events drop constraint session_events_pkey")
    db.execute("drop index session_approval.session_events_session_id_idx")
    step = rows // _PARTS
    for n in range(_PARTS):
        last = rows - 1 if n == _PARTS - 1 else (n + 1) * step - 1
        values = {"each": _EACH, "rows": rows, "first": n * step, "last": last}
        db.execute(_FILL.encode(), values)
        parts.say(f"{last + 1:>12,} rows after {time.monotonic() - began:.0f} s")
    db.execute(
        "alter table session_approval.session_events"
        " add constraint session_events_pkey primary key (id)"
    )
    db.execute(
        "create index session_events_session_id_idx"
        " on session_approval.session_events (session_id, id)"
    )
    db.execute("analyze session_approval.session_events")
    db.execute("checkpoint")
    parts.say(f"filled in {time.monotonic() - began:.0f} s")


def _figures(db: psycopg.Connection, rows: int, drop_oldest: str) -> Figures:
    """Measure one layout; the oldest part goes last."""
    [(size, index)] = db.execute(
        "select sum(pg_relation_size(c.oid)), sum(pg_indexes_size(c.oid)) from pg_class c"
        " where c.relname like 'session_events%' and c.relkind = 'r'"
    ).fetchall()
    figures = {"rows, GB": float(size) / 1e9, "indexes, GB": float(index) / 1e9}
    sessions = [str(UUID(bytes=_md5(n * 7919 % (rows // _EACH)))) for n in range(_ASKED)]
    for turn in ("first time", "again"):
        figures[f"one session's history, ms, {turn}"] = statistics.median(
            [_timed(db, _HISTORY, session) for session in sessions]
        )
    figures["one event written, ms"] = statistics.median(
        [_timed(db, _WRITE, str(uuid4())) for _ in range(_ASKED)]
    )
    newest = db.execute(
        "select tableoid::regclass::text from session_approval.session_events"
        " order by id desc limit 1"
    ).fetchone()
    figures["freezing (vacuum) what is newest, s"] = (
        _timed(db, f"vacuum (freeze) {newest and newest[0]}") / 1000
    )
    figures["the oldest 24th removed, s"] = _timed(db, drop_oldest) / 1000
    figures["and its room given back (vacuum), s"] = (
        0.0
        if drop_oldest.startswith("drop")
        else _timed(db, "vacuum session_approval.session_events") / 1000
    )
    return figures


def _md5(number: int) -> bytes:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).digest()


def _timed(db: psycopg.Connection, statement: str, *values: str) -> float:
    """Return the milliseconds of one statement."""
    began = time.perf_counter()
    db.execute(statement.encode(), values or None, prepare=bool(values))
    return (time.perf_counter() - began) * 1000


@contextmanager
def _writing(address: str) -> Iterator[list[float]]:
    """Write events all the while; yield how long each took."""
    waits: list[float] = []
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(address, autocommit=True) as db:
            while not stop.wait(0.005):
                began = time.monotonic()
                db.execute(_WRITE.encode(), (str(uuid4()),))
                waits.append(time.monotonic() - began)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield waits
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
