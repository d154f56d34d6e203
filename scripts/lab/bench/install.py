"""Measure both installs on a large table under writes: waits by lock, and added sizes."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
import psycopg

from scripts import ROOT
from scripts.local.postgres import EmbeddedPostgres
from scripts.operate import psql

_UNINSTALL = ROOT / "sql" / "uninstall" / "uninstall.sql"
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
_SIZES = """
select 'index ' || c.relname as name, pg_relation_size(c.oid) as bytes
from pg_catalog.pg_class c
where c.oid in (
  select to_regclass('public.' || n.name)
  from session_approval.install_changes n
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
_UNBALANCED = """
select count(*)
from public.user_credits l
left join (
  select e.lot_id, sum(e.delta) as credits
  from session_approval.credit_ledger e
  group by e.lot_id
) sums on sums.lot_id = l.id
where sums.credits is distinct from l.credits_balance
"""
_WRITES = (
    "insert into public.sessions (user_id, therapist_id, start_time, end_time) select"
    " '00000000-0000-4000-8000-000000000101', '00000000-0000-4000-8000-000000000001', now(),"
    " now() + interval '1 minute'",
    "update public.sessions set status = 'completed' where id ="
    " (select id from public.sessions limit 1)",
    "update public.user_credits set credits_balance = credits_balance + 1 where id ="
    " (select id from public.user_credits tablesample system (1) limit 1)",
)
_CALL = "select * from public.get_credits()"
_CLIENT = "00000000-0000-4000-8000-000000000101"
_AS_CLIENT = f"-c role=authenticated -c request.jwt.claim.sub={_CLIENT}"
_WAITS = """
select
  format('%s on %s, behind %s', l.mode, coalesce(l.relation::regclass::text, l.locktype), (
    select string_agg(distinct coalesce(held.mode, 'nothing'), ' and ')
    from unnest(pg_blocking_pids(l.pid)) b (pid)
    left join pg_locks held on held.pid = b.pid and held.relation = l.relation and held.granted
  )) as what,
  extract(epoch from clock_timestamp() - l.waitstart)::float as seconds
from pg_catalog.pg_locks l
join pg_catalog.pg_stat_activity a on a.pid = l.pid
where not l.granted
  and a.application_name = 'writer'
  and l.waitstart is not null
union all
select
  format('no lock, %s', coalesce(a.wait_event_type || ' ' || a.wait_event, 'at work')),
  extract(epoch from clock_timestamp() - a.query_start)::float
from pg_catalog.pg_stat_activity a
where a.application_name = 'writer'
  and a.state = 'active'
  and a.wait_event_type is distinct from 'Lock'
  and clock_timestamp() - a.query_start > interval '50 milliseconds'
"""


@dataclass
class Load:
    """An application that writes all the time and records how long each statement took."""

    address: str
    calls_functions: bool = False
    writes: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    waits: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Load":
        """Begin to write."""
        self._threads = [
            threading.Thread(target=self._repeat, args=(statement, self.writes, ""))
            for statement in _WRITES
        ]
        if self.calls_functions:
            arguments = (_CALL, self.calls, _AS_CLIENT)
            self._threads.append(threading.Thread(target=self._repeat, args=arguments))
        self._threads.append(threading.Thread(target=self._watch))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop writing."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _connect(self, name: str, options: str = "") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self.address, autocommit=True, application_name=name, options=options
        )

    def _repeat(self, statement: str, took: list[float], options: str) -> None:
        with self._connect("writer", options) as db:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    db.execute(statement)
                except psycopg.Error as error:
                    self.failures.append(str(error).splitlines()[0])
                took.append(time.monotonic() - began)
                time.sleep(0.01)

    def _watch(self) -> None:
        with self._connect("watcher") as db:
            while not self._stop.is_set():
                for what, seconds in db.execute(_WAITS).fetchall():
                    self.waits[str(what)] = max(self.waits.get(str(what), 0), float(str(seconds)))
                time.sleep(0.005)


def _milliseconds(took: list[float]) -> str:
    """Return how long the median, the slowest of a hundred, and the slowest took."""
    ordered = sorted(took)
    middle, slow = statistics.median(ordered), ordered[len(ordered) * 99 // 100]
    return f"{middle * 1000:.0f} / {slow * 1000:.0f} / {ordered[-1] * 1000:.0f} ms"


def _measured(name: str, load: Load, work: Callable[[], None]) -> None:
    """Do some work under a load, and print how long everything took."""
    with load:
        time.sleep(1)
        began = time.monotonic()
        work()
        took = time.monotonic() - began
        time.sleep(0.5)
    print(
        f"{name}: {took:.2f} s; {len(load.writes)} writes, median / 99% / longest"
        f" {_milliseconds(load.writes)}, {len(load.failures)} failed",
        flush=True,
    )
    if load.calls:
        print(f"  calls of our functions: {_milliseconds(load.calls)}")
    for what, seconds in sorted(load.waits.items(), key=lambda seen: -seen[1])[:6]:
        print(f"  waited {seconds * 1000:.0f} ms for {what}")
    for failure in sorted(set(load.failures)):
        print(f"  failed: {failure}")


def _fill(address: str, sessions: int, lots: int) -> None:
    """Make the tables of a project, and their rows."""
    psql.apply(address, [psql.SUPABASE, psql.STARTER])
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("set session_replication_role = replica")  # foreign keys hold by the numbers
        db.execute(_PEOPLE)
        db.execute(_SESSIONS, {"sessions": sessions})
        db.execute(_LOTS, {"lots": lots})
        db.execute("vacuum analyze")
        db.execute("checkpoint")
        for table in ("sessions", "user_credits"):
            [size] = db.execute(
                "select pg_total_relation_size(%s)", (f"public.{table}",)
            ).fetchone() or (0,)
            print(f"before: public.{table} {size / 1e6:.1f} MB with indexes", flush=True)


def _path(name: str, address: str, install: Callable[[], None], idle: float) -> None:
    """Install in one of the two ways, install again, uninstall; print what each took."""
    print(f"\n{name}")
    _measured("nothing installed", Load(address), lambda: time.sleep(idle))
    _measured("install", Load(address), install)
    with psycopg.connect(address) as db:
        for what, size in db.execute(_SIZES).fetchall():
            print(f"  added: {what} {size / 1e6:.1f} MB")
        [wrong] = db.execute(_UNBALANCED).fetchone() or (None,)
        print(f"  lots that the ledger does not add up to: {wrong}")
    _measured("installed, nothing else", Load(address, True), lambda: time.sleep(idle))
    _measured("install again", Load(address, True), install)
    _measured("uninstall", Load(address), lambda: psql.apply(address, [_UNINSTALL]))


@click.command(help=__doc__)
@click.option("--sessions", type=int, default=1_000_000, show_default=True)
@click.option("--lots", type=int, default=100_000, show_default=True)
@click.option(
    "--idle", type=float, default=10, show_default=True, help="Seconds without an install."
)
def main(sessions: int, lots: int, idle: float) -> None:
    """Make the rows once, and measure each way on a copy of them."""
    with (
        tempfile.TemporaryDirectory(prefix="sa-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "pg", config={"max_wal_size": "4GB"}) as server,
    ):
        project = server.uri("project")
        with psycopg.connect(server.uri(), autocommit=True) as db:
            db.execute("create database project")
            _fill(project, sessions, lots)
            ways: dict[str, Callable[[str], None]] = {
                "online": psql.apply_online,
                "one transaction": lambda address: psql.apply(address, [psql.INSTALL]),
            }
            for name, way in ways.items():
                db.execute("create database copy template project")
                copy = server.uri("copy")
                _path(name, copy, partial(way, copy), idle)
                db.execute("drop database copy with (force)")
