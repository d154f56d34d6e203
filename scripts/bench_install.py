"""Measure an install on a large table under writes: how long they wait, and what it adds."""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from scripts.local import ROOT, database
from scripts.local.postgres import WHEEL_BIN, EmbeddedPostgres

_ROLLBACK = ROOT / "sql" / "rollback" / "rollback.sql"
_PEOPLE = """
insert into public.users (id, email, full_name, user_type)
select
  ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, n || '@example.org', 'Person ' || n,
  case when n <= 100 then 'therapist' else 'individual' end
from generate_series(1, 10100) n
"""
_SESSIONS = """
insert into public.sessions (user_id, therapist_id, status, start_time, end_time, created_at)
select
  ('00000000-0000-4000-8000-' || lpad((101 + n %% 10000)::text, 12, '0'))::uuid,
  ('00000000-0000-4000-8000-' || lpad((1 + n %% 100)::text, 12, '0'))::uuid,
  (array['completed', 'completed', 'completed', 'cancelled', 'no_show'])[1 + n %% 5],
  now() - n * interval '3 minutes', now() - n * interval '3 minutes' + interval '50 minutes',
  now() - n * interval '3 minutes' - interval '3 days'
from generate_series(1, %(sessions)s) n
"""
_LOTS = """
insert into public.user_credits (user_id, credits_balance, created_at)
select
  ('00000000-0000-4000-8000-' || lpad((101 + n %% 10000)::text, 12, '0'))::uuid, n %% 10,
  now() - n * interval '30 minutes'
from generate_series(1, %(lots)s) n
"""
_INDEXES_FIRST = (
    "create index concurrently sessions_user_id_start_time_idx"
    " on public.sessions (user_id, start_time desc, id)",
    "create index concurrently sessions_therapist_id_start_time_idx"
    " on public.sessions (therapist_id, start_time desc, id)",
)
_SIZES = """
select 'index ' || c.relname as name, pg_relation_size(c.oid) as bytes
from pg_catalog.pg_class c
where c.oid in (
  select to_regclass('public.' || n.name)
  from session_approval.rollback_notes n
  where n.kind = 'index'
)
union all
select c.relname || ', with indexes', pg_total_relation_size(c.oid)
from pg_catalog.pg_class c
where c.relnamespace = 'session_approval'::regnamespace
  and c.relkind = 'r'
  and pg_total_relation_size(c.oid) > 100000
order by 2 desc
"""
_WRITES = (
    "insert into public.sessions (user_id, therapist_id, start_time, end_time) select"
    " '00000000-0000-4000-8000-000000000101', '00000000-0000-4000-8000-000000000001', now(),"
    " now() + interval '1 minute'",
    "update public.user_credits set credits_balance = credits_balance + 1 where id ="
    " (select id from public.user_credits limit 1)",
)


@dataclass
class Writers:
    """The application, writing all the time; it remembers how long each statement took."""

    address: str
    waits: list[float] = field(default_factory=list)
    failures: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Writers":
        """Begin to write."""
        self._threads = [
            threading.Thread(target=self._write, args=(statement,)) for statement in _WRITES
        ]
        for thread in self._threads:
            thread.start()
        time.sleep(1)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop writing."""
        time.sleep(0.5)
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, statement: str) -> None:
        with psycopg.connect(self.address, autocommit=True) as db:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    db.execute(statement)
                except psycopg.Error:
                    self.failures += 1
                self.waits.append(time.monotonic() - began)
                time.sleep(0.01)


def _timed(address: str, name: str, file: Path) -> None:
    """Run a file in one transaction while others write, and say how long all of them took."""
    with Writers(address) as writers:
        began = time.monotonic()
        ran = subprocess.run(
            [
                *(WHEEL_BIN / "psql", "-X", "-1", "-q", "-v", "ON_ERROR_STOP=1"),
                *("-d", address, "-f", file),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        took = time.monotonic() - began
    if ran.returncode != 0:
        raise SystemExit(ran.stderr)
    print(
        f"{name}: {took:.2f} s; {len(writers.waits)} writes meanwhile, the longest waited"
        f" {max(writers.waits):.2f} s, {writers.failures} failed"
    )


def main() -> int:
    """Make the rows, install, install again, roll back, and print what each cost."""
    parser = argparse.ArgumentParser(prog="make bench-install", description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--lots", type=int, default=100_000)
    parser.add_argument(
        "--indexes-first",
        action="store_true",
        help="build the two large indexes concurrently before",
    )
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="sa-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "pg", config={"max_wal_size": "4GB"}) as server,
    ):
        address = server.uri()
        database.apply(address, [database.SUPABASE, database.STARTER])
        with psycopg.connect(address, autocommit=True) as db:
            db.execute(_PEOPLE)
            db.execute(_SESSIONS, {"sessions": given.sessions})
            db.execute(_LOTS, {"lots": given.lots})
            db.execute("vacuum analyze")
            for table in ("sessions", "user_credits"):
                [size] = db.execute(
                    "select pg_total_relation_size(%s)", (f"public.{table}",)
                ).fetchone() or (0,)
                print(f"before: public.{table} {size / 1e6:.1f} MB with indexes")
            if given.indexes_first:
                with Writers(address) as writers:
                    for statement in _INDEXES_FIRST:
                        db.execute(statement)
                print(f"indexes first: the longest write waited {max(writers.waits):.2f} s")
            _timed(address, "install", database.INSTALL)
            for name, size in db.execute(_SIZES).fetchall():
                print(f"  added: {name} {size / 1e6:.1f} MB")
            _timed(address, "install again", database.INSTALL)
            _timed(address, "rollback", _ROLLBACK)
    return 0


if __name__ == "__main__":
    sys.exit(main())
