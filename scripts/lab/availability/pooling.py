"""Compare PostgREST on Postgres itself with PostgREST through PgBouncer in transaction mode."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import click
import psycopg

from scripts.lab.availability import parts
from scripts.lab.availability.history import Load, Target, check, latency
from scripts.lab.availability.people import SECRET, People
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST

_INSTANCES = 3  # of PostgREST, each with its own pool of 20
_HELD = 8  # connections to Postgres that PgBouncer keeps for all of them
# Between transactions nothing is kept: no prepared statement, no LISTEN. (At SIGUSR1 PostgREST
# reads the schema again.)
_POOLED = {"PGRST_DB_PREPARED_STATEMENTS": "false", "PGRST_DB_CHANNEL_ENABLED": "false"}
_SIDES = ("direct", "not prepared", "pooled")


@click.command(help=__doc__, epilog="It needs PgBouncer: apt-get install pgbouncer")
@click.option(
    "--approvals", type=int, default=4000, show_default=True, help="Of each side and round."
)
@click.option("--rounds", type=int, default=2, show_default=True)
@click.option("--connections", type=int, default=24, show_default=True)
def main(approvals: int, rounds: int, connections: int) -> int:
    """Print throughput and connections of each side; 0 when every storm was exact, 1 if not."""
    return parts.run(lambda folder: _measure(folder, approvals, rounds, connections))


def _measure(folder: Path, approvals: int, rounds: int, connections: int) -> int:
    # Half of what is asked for can be paid: each approval beyond must be refused, none before.
    paid = approvals * rounds * len(_SIDES) // 2
    clients = 20
    people = People(clients, 2 * paid, lots=2, credits_a_lot=paid // clients // 2)
    paid = clients * people.lots * people.credits_a_lot
    exact = True
    with ExitStack() as ended:
        server = ended.enter_context(EmbeddedPostgres(folder / "postgres"))
        people.install(server.uri())
        pooled = ended.enter_context(parts.bouncer(server, folder, _HELD))
        direct = server.uri(user="authenticator")
        tokens, requests = people.tokens(), people.requests()
        taken: Counter[str] = Counter()
        rates: dict[str, list[float]] = {side: [] for side in _SIDES}
        held: dict[str, int] = {}
        history = []
        for turn in range(rounds):
            for side in _SIDES if turn % 2 else reversed(_SIDES):
                address = pooled if side == "pooled" else direct
                with _instances(address, side, folder) as targets:
                    load = Load(targets, tokens, islice(requests, approvals), connections)
                    with load:
                        load.wait()
                        held[side] = _connected(server)
                rates[side].append(len(load.history) / load.seconds)
                history += load.history
                middle, slow = latency(load.history)
                parts.say(
                    f"round {turn + 1}, {side}: {rates[side][-1]:.0f}/s, p50 {middle:.1f} ms,"
                    f" p99 {slow:.1f} ms, {held[side]} connections"
                )
        taken.update(f"{one.status} {one.code}".strip() for one in history)
        wrong = check(server.uri(), history)
        exact = not wrong and taken["200"] == paid
    best = {side: max(each) for side, each in rates.items()}
    print(f"{_INSTANCES} PostgREST, {connections} connections to them, best of {rounds} rounds\n")
    print(f"  {'':14}{'answers/s':>10}{'ratio':>8}{'connections on the server':>28}")
    for side in _SIDES:
        print(f"  {side:14}{best[side]:>10.0f}{best[side] / best['direct']:>8.2f}{held[side]:>28}")
    print(f"\n{paid} credits, {len(history)} approvals asked for: {dict(taken)}")
    print("exact" if exact else f"NOT EXACT: {wrong[:10]}")
    return 0 if exact else 1


@contextmanager
def _instances(address: str, side: str, folder: Path) -> Iterator[list[Target]]:
    """Run the PostgREST instances on one address."""
    with ExitStack() as ended:
        targets = []
        for n in range(_INSTANCES):
            rest = PostgREST(
                address,
                SECRET,
                folder / f"postgrest-{n}.log",
                settings={} if side == "direct" else _POOLED,
            )
            ended.callback(rest.stop)
            rest.start()
            targets.append(Target.postgrest(rest.url))
        yield targets


def _connected(server: EmbeddedPostgres) -> int:
    """Count the connections that PostgREST or PgBouncer hold."""
    with psycopg.connect(server.uri()) as db:
        [(number,)] = db.execute(
            "select count(*) from pg_catalog.pg_stat_activity a where a.usename = 'authenticator'"
        ).fetchall()
    return int(number)
