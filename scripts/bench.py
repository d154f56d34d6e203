"""Measure approvals beside the same statements sent by hand, without ledger, events and guards."""

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from scripts.local import LOCAL, StackError, database
from scripts.local.postgres import WHEEL_BIN, EmbeddedPostgres

GOAL = 0.7  # of the throughput by hand
CLIENTS = (1, 8, 16)
_FOLDER = LOCAL / "bench"
_PEOPLE = 2000
_FIRST = 100_000_000_000  # the number of the first session
_A_ROUND = 100_000_000  # numbers that a round has to itself
_LOTS = 3  # a client's; the application inserts one per purchase
_FASTEST = 12000  # approvals a second that no machine reaches: so many sessions are made ready

# Ids are numbers in the digits of a uuid, so that a script can count through them: one pgbench
# client takes every session once, and never one of another's. The prefix is the same for both.
_PICK = """
\\set session :first + :client_id * 1000000 + :turn
\\set person 100000000000 + :session % {people}
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

# The least that pays one session with one credit: lock the session and a lot, change both.
_BY_HAND = f"""{_PICK}
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

SIDES = {"ours": ("public", _OURS), "by hand": ("by_hand", _BY_HAND)}


@dataclass(frozen=True)
class Round:
    """What one run of pgbench measured."""

    side: str
    clients: int
    per_second: float
    milliseconds: float


def main() -> int:
    """Print the ratios, then what they are made of; 0 when every one reaches the goal, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        epilog="make bench ARGS='--seconds 20 --rounds 5'. The server is its own, with fsync on.",
    )
    parser.add_argument("--seconds", type=int, default=5, help="a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="a side (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write all that was measured there, as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the database, to look at it")
    given = parser.parse_args()
    if given.seconds < 1 or given.rounds < 1:
        parser.error("--seconds and --rounds must be 1 or more")
    try:
        with EmbeddedPostgres(_FOLDER / "postgres") as server:
            measured = _measure(server, given.seconds, given.rounds)
            version = _version(server)
    except StackError as error:
        print(error, file=sys.stderr)
        return 2
    _print(measured, version, given.seconds, given.rounds)
    if given.output:
        given.output.write_text(json.dumps([asdict(one) for one in measured], indent=2) + "\n")
    return 0 if all(_ratio(measured, clients) >= GOAL for clients in CLIENTS) else 1


def _measure(server: EmbeddedPostgres, seconds: int, rounds: int) -> list[Round]:
    """Run both sides in turn, first one first and then the other, so that neither is favoured."""
    address = _prepare(server)
    measured = []
    first = _FIRST
    for clients in CLIENTS:
        for turn in range(rounds):
            sides = list(SIDES) if turn % 2 else list(reversed(SIDES))
            for side in sides:
                first += _A_ROUND
                _refill(address, side, clients, seconds, first)
                one = _run(address, side, clients, seconds, first)
                _say(f"{clients:>2} clients, round {turn + 1}, {side}: {one.per_second:.0f}/s")
                measured.append(one)
    return measured


def _prepare(server: EmbeddedPostgres) -> str:
    """Make a fresh database: the product, people with lots, and a copy of two tables without it."""
    with psycopg.connect(server.uri(), autocommit=True) as db:
        db.execute("drop database if exists bench with (force)")
        db.execute("create database bench")
    address = server.uri("bench")
    database.apply(address, [database.SUPABASE, database.STARTER, database.INSTALL])
    with psycopg.connect(address) as db:
        db.execute(
            "update session_approval.settings set video_base_url = 'https://example.daily.co'"
        )
        db.execute(
            "insert into public.users (id, email, full_name, user_type)"
            " select ('00000000-0000-4000-8000-' || 100000000000 + n)::uuid,"
            " 'person' || n || '@example.org', 'Person ' || n,"
            " case when n = %(people)s then 'therapist' else 'individual' end"
            " from generate_series(0, %(people)s) n",
            {"people": _PEOPLE},
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
    return address


def _refill(address: str, side: str, clients: int, seconds: int, first: int) -> None:
    """Give a side as many waiting sessions as a round can use, and a server without a backlog."""
    schema, script = SIDES[side]
    (_FOLDER / f"{schema}.sql").write_text(script.format(people=_PEOPLE))
    each = _FASTEST * seconds // min(clients, 4)
    with psycopg.connect(address, autocommit=True) as db:
        # Without triggers: that these sessions were proposed is not what is measured.
        db.execute("set session_replication_role = replica")
        table = sql.Identifier(schema, "sessions")
        db.execute(sql.SQL("truncate {}").format(table))
        db.execute(
            sql.SQL(
                "insert into {} (id, user_id, therapist_id, created_by, status, requires_approval,"
                " title, start_time, end_time, duration_minutes, time_zone, approval_expires_at)"
                " select ('00000000-0000-4000-a000-' || i.session)::uuid,"
                " ('00000000-0000-4000-8000-' || 100000000000 + i.session %% %(people)s)::uuid,"
                " t.id, t.id, 'pending_approval', true, 'Custom session',"
                " now() + interval '2 days', now() + interval '2 days 30 minutes', 30, 'UTC',"
                " now() + interval '1 day'"
                " from (select id from public.users where user_type = 'therapist') t,"
                " generate_series(0, %(clients)s - 1) client,"
                " generate_series(0, %(each)s - 1) turn,"
                " lateral (select %(first)s + client * 1000000::bigint + turn as session) i"
            ).format(table),
            {"people": _PEOPLE, "clients": clients, "each": each, "first": first},
        )
        db.execute("vacuum analyze")
        db.execute("checkpoint")


def _run(address: str, side: str, clients: int, seconds: int, first: int) -> Round:
    """Run one side's script and read what pgbench says of it."""
    schema, _ = SIDES[side]
    result = subprocess.run(
        [
            *(str(WHEEL_BIN / "pgbench"), "--no-vacuum", "--protocol=prepared"),
            *(f"--client={clients}", f"--jobs={min(clients, 2)}", f"--time={seconds}"),
            *(
                f"--define=first={first}",
                "--define=turn=0",
                f"--file={_FOLDER / schema}.sql",
                address,
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    rate = re.search(r"^tps = ([\d.]+)", result.stdout, re.M)
    latency = re.search(r"^latency average = ([\d.]+) ms", result.stdout, re.M)
    if result.returncode != 0 or rate is None or latency is None:
        raise StackError(f"pgbench stopped:\n{result.stdout}{result.stderr}")
    return Round(side, clients, float(rate[1]), float(latency[1]))


def _median(measured: Sequence[Round], side: str, clients: int, what: str) -> float:
    numbers = [getattr(one, what) for one in measured if (one.side, one.clients) == (side, clients)]
    return float(statistics.median(numbers))


def _ratio(measured: Sequence[Round], clients: int) -> float:
    ours, by_hand = (_median(measured, side, clients, "per_second") for side in SIDES)
    return ours / by_hand


def _version(server: EmbeddedPostgres) -> str:
    with psycopg.connect(server.uri()) as db:
        row = db.execute("select current_setting('server_version')").fetchone()
    return str(row and row[0])


def _print(measured: Sequence[Round], version: str, seconds: int, rounds: int) -> None:
    print("\nApprovals with ledger, events and guards, as a share of the same by hand without them")
    print(f"(the goal is {GOAL} or more):\n")
    for clients in CLIENTS:
        ratio = _ratio(measured, clients)
        print(f"  {clients:>2} clients  {ratio:.2f}{'' if ratio >= GOAL else '  below the goal'}")
    print(f"\n  {'':10}  {'approvals a second':>20}  {'mean latency, ms':>20}")
    print(f"  {'':10}" + "  ".join(f"{side:>10}" for side in (*SIDES, *SIDES)))
    for clients in CLIENTS:
        numbers = [f"{_median(measured, side, clients, 'per_second'):>10.0f}" for side in SIDES]
        numbers += [f"{_median(measured, side, clients, 'milliseconds'):>10.2f}" for side in SIDES]
        print(f"  {clients:>2} clients" + "  ".join(numbers))
    print(f"\nMedians of {rounds} rounds of {seconds} s, taken in turn.")
    print(f"PostgreSQL {version}, fsync on.")


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
