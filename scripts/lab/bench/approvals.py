"""Measure approvals beside the same statements sent by hand, and beside less than that."""

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import click
import psycopg
from psycopg import sql

from scripts import CommandError
from scripts.lab.bench import FOLDER
from scripts.local.postgres import WHEEL_BIN, EmbeddedPostgres
from scripts.operate import psql

GOAL = 0.7  # of the throughput of the same statements
CLIENTS = (1, 8, 32)
WALLETS = (1000, 1)  # people whose credits pay, in turn; or one person, who pays for all
_FIRST = 100_000_000_000  # the number of the first session
_A_ROUND = 100_000_000  # numbers of one round: each session has its own
_LOTS = 3  # a client's; the application inserts one per purchase
# Transactions a second that no machine reaches: it says how many sessions are made.
_FASTEST = {"public": 4000, "by_hand": 12000}

# Ids are numbers in the digits of a uuid, so that a script can count through them: a pgbench client
# takes each of its sessions once, and never another client's. The prefix is the same for all sides.
# Each client begins at another wallet and then takes all of them in turn.
_PICK = """
\\set session :first + :client_id * 1000037 + :turn
\\set person 100000000000 + :session % {wallets}
\\set turn :turn + 1
"""
_SESSION = "('00000000-0000-4000-a000-' || :session::text)::uuid"
_PERSON = "('00000000-0000-4000-8000-' || :person::text)::uuid"

# As PostgREST calls it with a client's token: role and claims in one statement, then the function.
_OURS = f"""{_PICK}
begin;
select
  set_config('role', 'authenticated', true),
  set_config(
    'request.jwt.claims',
    '{{{{"role": "authenticated", "sub": "00000000-0000-4000-8000-' || :person::text || '"}}}}',
    true);
select * from public.approve_session_and_deduct_credit({_SESSION});
commit;
"""  # noqa: S608 - no part of it comes from outside

# The same statements by hand: the person, the session, the lot, the session's new columns, and the
# answer with both names and the balance. Without the ledger, the events, the guards, and any check.
_SAME = f"""{_PICK}
begin;
select p.id as client from session_approval.people p where p.id = {_PERSON} and p.is_active \\gset
select s.id as found, settings.video_base_url || '/s-' || replace(s.id::text, '-', '') as url
from by_hand.sessions s
cross join session_approval.settings settings
where s.id = {_SESSION} and s.user_id = {_PERSON} and s.status = 'pending_approval'
for no key update of s \\gset
update by_hand.user_credits l
set credits_balance = l.credits_balance - 1
where l.id = (
  with locked as materialized (
    select k.id, k.expires_at, k.created_at
    from by_hand.spendable_lots k
    where k.user_id = {_PERSON}
    order by k.id
    for no key update
  )
  select k.id
  from locked k
  order by k.expires_at nulls last, k.created_at, k.id
  limit 1
)
returning l.id as lot \\gset
update by_hand.sessions s
set
  status = 'scheduled',
  approved_at = now(),
  credit_lot_id = :lot,
  session_url = :url,
  daily_room_url = :url,
  room_name = 's-' || replace(s.id::text, '-', ''),
  daily_room_name = 's-' || replace(s.id::text, '-', '')
where s.id = :found;
select o.*, (
  select sum(l.credits_balance) from by_hand.spendable_lots l where l.user_id = o.user_id
)
from by_hand.session_answers o
where o.id = :found;
commit;
"""  # noqa: S608 - no part of it comes from outside

# The least that pays one session with one credit: lock the session and a lot, change both.
_LEAST = f"""{_PICK}
begin;
select s.id as found
from by_hand.sessions s
where s.id = {_SESSION} and s.user_id = {_PERSON} and s.status = 'pending_approval'
for update \\gset
select l.id as lot
from by_hand.user_credits l
where l.user_id = {_PERSON}
  and l.user_type in ('individual', 'user')
  and l.status = 'active'
  and (l.expires_at is null or l.expires_at > now())
  and l.credits_balance >= 1
order by l.expires_at nulls last, l.created_at, l.id
limit 1
for update \\gset
update by_hand.user_credits set credits_balance = credits_balance - 1 where id = :lot;
update by_hand.sessions
set status = 'scheduled', approved_at = now(), credit_lot_id = :lot
where id = :found;
commit;
"""  # noqa: S608 - no part of it comes from outside

# One row of one table, as durable as the others.
_FLOOR = f"""{_PICK}
update by_hand.sessions set approved_at = now() where id = {_SESSION};
"""  # noqa: S608 - no part of it comes from outside

SIDES = {
    "ours": ("public", _OURS),
    "the same": ("by_hand", _SAME),
    "the least": ("by_hand", _LEAST),
    "one row": ("by_hand", _FLOOR),
}


@dataclass(frozen=True)
class Round:
    """What one run of pgbench measured."""

    side: str
    wallets: int
    clients: int
    per_second: float
    milliseconds: float


@click.command(help=__doc__, epilog="The server is its own, with fsync on.")
@click.option(
    "--seconds", type=click.IntRange(1), default=3, show_default=True, help="Of each round."
)
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Of each side."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write all that was measured there, as JSON.",
)
def main(seconds: int, rounds: int, output: Path | None) -> int:
    """Print the ratios, then what they are made of; 0 when every one reaches the goal, 1 if not."""
    try:
        with EmbeddedPostgres(FOLDER / "postgres") as server:
            measured = _measure(server, seconds, rounds)
            version = _version(server)
    except CommandError as error:
        error.show()
        return 2
    _print(measured, version, seconds, rounds)
    if output:
        output.write_text(json.dumps([asdict(one) for one in measured], indent=2) + "\n")
    reached = [_ratio(measured, "the same", *each) >= GOAL for each in product(WALLETS, CLIENTS)]
    return 0 if all(reached) else 1


def _measure(server: EmbeddedPostgres, seconds: int, rounds: int) -> list[Round]:
    """Run the sides in turn, forwards and then backwards, so that no side has an advantage."""
    address = _prepare(server)
    measured = []
    first = _FIRST
    for wallets, clients, turn in product(WALLETS, CLIENTS, range(rounds)):
        for side in list(SIDES) if turn % 2 else list(reversed(SIDES)):
            first += _A_ROUND
            _refill(address, side, wallets, clients, seconds, first)
            one = _run(address, side, wallets, clients, seconds, first)
            _say(
                f"{wallets} wallets, {clients} clients, round {turn + 1}, {side}:"
                f" {one.per_second:.0f}/s"
            )
            measured.append(one)
    return measured


def _prepare(server: EmbeddedPostgres) -> str:
    """Make a fresh database: the product, people with lots, and a copy of two tables without it."""
    with psycopg.connect(server.uri(), autocommit=True) as db:
        db.execute("drop database if exists bench with (force)")
        db.execute("create database bench")
    address = server.uri("bench")
    psql.apply(address, [psql.SUPABASE, psql.STARTER, psql.INSTALL])
    with psycopg.connect(address) as db:
        db.execute(
            "update session_approval.settings set video_base_url = 'https://example.daily.co'"
        )
        db.execute(
            "insert into public.users (id, email, full_name, user_type)"
            " select ('00000000-0000-4000-8000-' || 100000000000 + n)::uuid,"
            " 'person' || n || '@example.org', 'Person ' || n,"
            " case when n = %(wallets)s then 'therapist' else 'individual' end"
            " from generate_series(0, %(wallets)s) n",
            {"wallets": max(WALLETS)},
        )
        db.execute(
            "insert into public.user_credits (user_id, user_type, credits_balance, expires_at)"
            " select u.id, 'individual', 1000000, now() + n * interval '30 days'"
            " from public.users u, generate_series(1, %s) n where u.user_type = 'individual'",
            (_LOTS,),
        )
        db.execute("create schema by_hand")
        db.execute("create table by_hand.sessions (like public.sessions including all)")
        db.execute("create table by_hand.user_credits (like public.user_credits including all)")
        db.execute("insert into by_hand.user_credits select * from public.user_credits")
        for view in ("spendable_lots", "session_details", "session_answers"):
            _copy_view(db, view)
    return address


def _copy_view(db: psycopg.Connection, view: str) -> None:
    """Make the view that the functions read, over the tables by hand."""
    db.execute("set local search_path = ''")
    row = db.execute(
        "select pg_catalog.pg_get_viewdef(format('session_approval.%%I', %s::text)::regclass)",
        (view,),
    ).fetchone()
    query = str(row and row[0])
    for ours in ("public.sessions", "public.user_credits", "session_approval.session_details"):
        query = query.replace(f"{ours} ", f"by_hand.{ours.partition('.')[2]} ")
    db.execute(
        sql.SQL("create view {} as {}").format(sql.Identifier("by_hand", view), sql.SQL(query))
    )


def _refill(address: str, side: str, wallets: int, clients: int, seconds: int, first: int) -> None:
    """Make as many waiting sessions as a side can use in a round, and leave the server idle."""
    schema, script = SIDES[side]
    _script(side).write_text(script.format(wallets=wallets))
    each = _FASTEST[schema] * seconds // min(clients, 4)
    with psycopg.connect(address, autocommit=True) as db:
        # Without triggers: proposing is not measured.
        db.execute("set session_replication_role = replica")
        table = sql.Identifier(schema, "sessions")
        db.execute(sql.SQL("truncate {}").format(table))
        db.execute(
            sql.SQL(
                "insert into {} (id, user_id, therapist_id, created_by, status, requires_approval,"
                " title, start_time, end_time, duration_minutes, time_zone, approval_expires_at)"
                " select ('00000000-0000-4000-a000-' || i.session)::uuid,"
                " ('00000000-0000-4000-8000-' || 100000000000 + i.session %% %(wallets)s)::uuid,"
                " t.id, t.id, 'pending_approval', true, 'Custom session',"
                " at, at + interval '1 second', 30, 'UTC', now() + interval '1 day'"
                " from (select id from public.users where user_type = 'therapist') t,"
                " generate_series(0, %(clients)s - 1) client,"
                " generate_series(0, %(each)s - 1) turn,"
                " lateral (select %(first)s + client * 1000037::bigint + turn as session) i,"
                # A second each, so that the calendar has room for all.
                " lateral (select now() + interval '2 days'"
                "   + (turn * %(clients)s + client) * interval '1 second' as at) start"
            ).format(table),
            {"wallets": wallets, "clients": clients, "each": each, "first": first},
        )
        if schema == "public":  # their time has been held since they were proposed
            db.execute("truncate session_approval.bookings")
            db.execute(
                "insert into session_approval.bookings (session_id, person_id, during)"
                " select s.id, person.id, tstzrange(s.start_time, s.end_time)"
                " from public.sessions s"
                " cross join lateral (values (s.therapist_id), (s.user_id)) person (id)"
            )
        db.execute("vacuum analyze")
        db.execute("checkpoint")


def _run(address: str, side: str, wallets: int, clients: int, seconds: int, first: int) -> Round:
    """Run one side's script and read what pgbench says of it."""
    result = subprocess.run(
        [
            *(str(WHEEL_BIN / "pgbench"), "--no-vacuum", "--protocol=prepared"),
            *(f"--client={clients}", f"--jobs={min(clients, 2)}", f"--time={seconds}"),
            *(f"--define=first={first}", "--define=turn=0", f"--file={_script(side)}", address),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    rate = re.search(r"^tps = ([\d.]+)", result.stdout, re.M)
    latency = re.search(r"^latency average = ([\d.]+) ms", result.stdout, re.M)
    if result.returncode != 0 or rate is None or latency is None:
        raise CommandError(f"pgbench stopped:\n{result.stdout}{result.stderr[:2000]}")
    return Round(side, wallets, clients, float(rate[1]), float(latency[1]))


def _script(side: str) -> Path:
    return FOLDER / f"{side.replace(' ', '_')}.sql"


def _median(
    measured: Sequence[Round], side: str, wallets: int, clients: int, what: str = "per_second"
) -> float:
    case = (side, wallets, clients)
    rounds = [one for one in measured if (one.side, one.wallets, one.clients) == case]
    return statistics.median(float(getattr(one, what)) for one in rounds)


def _ratio(measured: Sequence[Round], side: str, wallets: int, clients: int) -> float:
    ours, other = (_median(measured, each, wallets, clients) for each in ("ours", side))
    return ours / other


def _version(server: EmbeddedPostgres) -> str:
    with psycopg.connect(server.uri()) as db:
        row = db.execute("select current_setting('server_version')").fetchone()
    return str(row and row[0])


def _print(measured: Sequence[Round], version: str, seconds: int, rounds: int) -> None:
    others = [side for side in SIDES if side != "ours"]
    head = f"  {'wallets':>7} {'clients':>7}  "
    print("\nApprovals a second, with ledger, events, guards and checks, as a share of")
    print("  the same   the statements of the function, sent by hand, without those")
    print("  the least  locking the session and a lot and changing both; no answer is read")
    print("  one row    an update of one row")
    print(f"The goal is {GOAL} or more of the same.\n")
    print(head + "".join(f"{side:>12}" for side in others))
    for wallets, clients in product(WALLETS, CLIENTS):
        ratios = [_ratio(measured, side, wallets, clients) for side in others]
        below = "" if ratios[0] >= GOAL else "  below the goal"
        print(f"  {wallets:>7} {clients:>7}  " + "".join(f"{one:>12.2f}" for one in ratios) + below)
    for what, title in (("per_second", "Transactions a second"), ("milliseconds", "Mean, in ms")):
        print(f"\n{title}:\n{head}" + "".join(f"{side:>12}" for side in SIDES))
        for wallets, clients in product(WALLETS, CLIENTS):
            each = [_median(measured, side, wallets, clients, what) for side in SIDES]
            digits = 0 if what == "per_second" else 2
            print(
                f"  {wallets:>7} {clients:>7}  " + "".join(f"{one:>12.{digits}f}" for one in each)
            )
    print(f"\nMedians of {rounds} rounds of {seconds} s, taken in turn.")
    print(f"PostgreSQL {version}, fsync on.")


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)
