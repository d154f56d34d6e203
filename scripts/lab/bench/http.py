"""Measure approvals over HTTP: through the API, by PostgREST alone, and by separate calls."""

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import click
import jwt
import psutil
import psycopg

from scripts import CommandError
from scripts.lab.availability import parts
from scripts.lab.availability.people import SECRET, People, Request, therapist_id
from scripts.lab.bench import load
from scripts.local import api_server, free_port
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST
from scripts.local.processes import Process
from scripts.operate import psql
from scripts.operate.bundle import bundle

CONNECTIONS = (1, 16, 64)
ADDED_MS = 2.0  # at most, to PostgREST alone at p50 with one connection

API, ALONE, CALLS, ROUTE = SIDES = (
    "through the API",
    "PostgREST alone",
    "the separate calls",
    "a route that makes them",
)
GOALS = {ALONE: 0.5, CALLS: 4.0, ROUTE: 4.0}  # of their throughput, or more
ROUND_TRIPS = {API: 2, ALONE: 1, CALLS: 5, ROUTE: 6}  # those behind a server included
PARTS = ("API", "PostgREST", "Postgres", "generator")
_CLIENTS = 1000
_FASTEST = 1500  # approvals a second that no side reaches: it says how many sessions are made
_WARM_SECONDS = 0.5
_RPC = "/rpc/approve_session_and_deduct_credit"


@dataclass(frozen=True)
class Round:
    """What one run of one side measured."""

    side: str
    connections: int
    approvals: int
    per_second: float
    p50: float
    p99: float
    processor: dict[str, float]  # milliseconds of each part for one approval

    @property
    def burned(self) -> float:
        """Milliseconds of processor for one approval, without the generator's."""
        return sum(self.processor[part] for part in PARTS[:-1])


@click.command(
    help=__doc__,
    epilog="Postgres has fsync on; the API is served as it is deployed, without rate limits and"
    " without a video provider, so that nothing but the API is added.",
)
@click.option("--seconds", type=float, default=2, show_default=True, help="Of each round.")
@click.option("--rounds", type=int, default=3, show_default=True, help="Of each side.")
@click.option("--connections", type=int, multiple=True, default=CONNECTIONS, show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write all that was measured there, as JSON.",
)
def main(seconds: float, rounds: int, connections: Sequence[int], output: Path | None) -> int:
    """Print the ratios, then what they are made of; 0 when every one reaches the goal, 1 if not."""
    measured: list[Round] = []
    footprint: dict[str, float] = {}
    failed = parts.run(
        lambda folder: _measure(folder, connections, rounds, seconds, measured, footprint)
    )
    if failed:
        return failed
    if output:
        figures = {"rounds": [asdict(one) for one in measured], "footprint": footprint}
        output.write_text(json.dumps(figures, indent=2) + "\n")
    return _report(measured, footprint)


def _measure(
    folder: Path,
    connections: Sequence[int],
    rounds: int,
    seconds: float,
    measured: list[Round],
    footprint: dict[str, float],
) -> int:
    """Run the sides in turn, forwards and then backwards, so that none is favoured."""
    warm = min(_WARM_SECONDS, seconds)
    longest = len(SIDES) * (len(connections) * rounds * seconds + warm)
    people = People(clients=_CLIENTS, sessions=500 + int(_FASTEST * longest))
    with ExitStack() as ended:
        server = ended.enter_context(EmbeddedPostgres(folder / "postgres"))
        footprint.update(_install(server, people))
        rest = PostgREST(server.uri(user="authenticator"), SECRET, folder / "postgrest.log")
        ended.callback(rest.stop)
        rest.start()
        api = parts.Api(rest.url, folder / "api.log")
        ended.callback(api.stop)
        began = time.perf_counter()
        api.start()
        footprint["seconds from the API's start to its first answer"] = time.perf_counter() - began
        key = jwt.encode({"role": "service_role", "exp": 2**31}, SECRET, algorithm="HS256")
        port = free_port()
        route = _start_route(folder, port, {**api.settings(), "SERVICE_KEY": key})
        ended.callback(route.stop)
        write = _writers(people.tokens(), key)
        ports = {API: api.port, ALONE: rest.port, CALLS: rest.port, ROUTE: port}
        if api.process is None or rest.pid is None or server.pid is None:
            raise CommandError("a part has stopped by itself")
        servers = psutil.Process(api.process.popen.pid)
        processes = {
            "API": [servers.pid, route.popen.pid],
            "PostgREST": [rest.pid],
            "Postgres": [server.pid],
        }
        requests = people.requests()
        for side in SIDES:  # every worker has its connections, and Postgres its plans
            load.run(ports[side], map(write[side], requests), 16, warm)
        for number, turn in product(connections, range(rounds)):
            for side in SIDES if turn % 2 else reversed(SIDES):
                before = _processor_seconds(processes)
                got = load.run(ports[side], map(write[side], requests), number, seconds)
                after = _processor_seconds(processes)
                burned = {part: after[part] - before[part] for part in processes}
                one = _round(side, number, got, {**burned, "generator": got.processor})
                parts.say(
                    f"{number} connections, round {turn + 1}, {side}: {one.per_second:.0f}/s,"
                    f" {one.burned:.2f} ms of processor each"
                )
                measured.append(one)
        weights = [worker.memory_full_info().uss for worker in servers.children()]
        footprint["MB of its own that a worker of the API weighs, after that"] = max(weights) / 1e6
    return 0


def _round(side: str, connections: int, got: load.Load, burned: dict[str, float]) -> Round:
    count = len(got.times)
    return Round(
        side,
        connections,
        count,
        got.per_second,
        got.percentile(0.5),
        got.percentile(0.99),
        {part: spent / count * 1000 for part, spent in burned.items()},
    )


def _install(server: EmbeddedPostgres, people: People) -> dict[str, float]:
    """Install the product into a database with its tables alone, and say what it adds."""
    address = server.uri()
    psql.apply(address, [psql.SUPABASE, psql.STARTER])
    with psycopg.connect(address, autocommit=True) as db:
        before = _bytes(db)
        began = time.perf_counter()
        psql.apply(address, [psql.INSTALL])
        seconds = time.perf_counter() - began
        after = _bytes(db)
        counted = db.execute(
            "select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            " where n.nspname = 'session_approval' or n.nspname = 'public' and not exists ("
            "   select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"
        ).fetchone()
        people.add(db)
    return {
        "seconds that the install takes": seconds,
        "kB that it adds to the database": (after - before) / 1000,
        "functions": float(counted[0] if counted else 0),
        "kB of the bundle, one file": len(bundle(psql.INSTALL).encode()) / 1000,
    }


def _bytes(db: psycopg.Connection) -> int:
    row = db.execute("select pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def _start_route(folder: Path, port: int, settings: dict[str, str]) -> Process:
    settings["REST_URL"] = settings["SUPABASE_REST_URL"]
    route = api_server.start(port, folder / "route.log", "scripts.lab.bench.route:app", **settings)
    route.wait_until(lambda: parts.listens(port))
    return route


def _writers(tokens: dict[str, str], key: str) -> dict[str, Callable[[Request], load.Calls]]:
    """Return what each side sends to approve one session."""
    server = {"apikey": key, "Authorization": f"Bearer {key}"}

    def as_client(one: Request) -> dict[str, str]:
        return {"apikey": "sb_publishable_local", "Authorization": f"Bearer {tokens[one.client]}"}

    def through_the_api(one: Request) -> load.Calls:
        body = f'{{"session_id": "{one.session}"}}'
        return [load.request("POST", "/api/sessions/approve", as_client(one), body)]

    def alone(one: Request) -> load.Calls:
        return [load.request("POST", _RPC, as_client(one), f'{{"p_session_id": "{one.session}"}}')]

    def by_calls(one: Request) -> load.Calls:
        therapist = therapist_id(int(one.session[-12:]) % People.therapists)
        return [
            load.request("GET", f"/sessions?select=*&id=eq.{one.session}", server),
            load.request("GET", f"/user_credits?select=*&user_id=eq.{one.client}", server),
            load.request(
                "POST",
                _RPC,
                server,
                f'{{"p_session_id": "{one.session}", "p_user_id": "{one.client}"}}',
            ),
            load.request(
                "GET",
                f"/users?select=id,full_name,email&id=in.({one.client},{therapist})",
                server,
            ),
            load.request(
                "PATCH",
                f"/sessions?id=eq.{one.session}",
                {**server, "Prefer": "return=representation"},
                f'{{"session_url": "https://example.daily.co/{one.session}"}}',
            ),
        ]

    def by_route(one: Request) -> load.Calls:
        body = f'{{"session_id": "{one.session}", "user_id": "{one.client}"}}'
        return [load.request("POST", "/approve", as_client(one), body)]

    return {API: through_the_api, ALONE: alone, CALLS: by_calls, ROUTE: by_route}


def _processor_seconds(processes: dict[str, list[int]]) -> dict[str, float]:
    """Sum the processor's time of each part: its processes, and their children that have ended."""
    spent = {}
    for part, pids in processes.items():
        spent[part] = 0.0
        for pid in pids:
            parent = psutil.Process(pid)
            for process in (parent, *parent.children(recursive=True)):
                try:
                    times = process.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                spent[part] += times.user + times.system
                spent[part] += times.children_user + times.children_system
    return spent


def median(measured: Sequence[Round], side: str, connections: int, what: str) -> float:
    """Return the median of a side's rounds."""
    rounds = [one for one in measured if (one.side, one.connections) == (side, connections)]
    return statistics.median(
        float(getattr(one, what, one.processor.get(what, 0.0))) for one in rounds
    )


def ratio(measured: Sequence[Round], side: str, other: str, connections: int) -> float:
    """Return a side's throughput as a share of another's."""
    mine, theirs = (median(measured, each, connections, "per_second") for each in (side, other))
    return mine / theirs


def cost(measured: Sequence[Round], side: str, other: str, connections: int) -> float:
    """Return the other's processor time for an approval as a share of a side's.

    Not a number where so little was run that the system's clock ticks counted none.
    """
    mine, theirs = (median(measured, each, connections, "burned") for each in (side, other))
    return theirs / mine if mine else math.nan


def added(measured: Sequence[Round], connections: int) -> float:
    """Return the milliseconds that the API adds to PostgREST alone at p50."""
    mine, alone = (median(measured, side, connections, "p50") for side in (API, ALONE))
    return mine - alone


def _report(measured: Sequence[Round], footprint: dict[str, float]) -> int:
    """Print everything, ratios first; 1 when a goal is missed."""
    numbers = sorted({one.connections for one in measured})
    reached = []
    print(
        "\nApprovals a second through the API, as a multiple of the others'; and in brackets what"
    )
    print("they cost of a processor, the other way round, which other work disturbs less")
    print(f"(goals: {GOALS[ALONE]} of {ALONE}; {GOALS[CALLS]:.0f} times {CALLS}, and {ROUTE};")
    print(f"at most {ADDED_MS:.0f} ms added at p50 with one connection):\n")
    print(f"  {'connections':>11}" + "".join(f"{side:>26}" for side in SIDES[1:]) + "  added, ms")
    for number in numbers:
        cells = ""
        for other in SIDES[1:]:
            rates, costs = (each(measured, API, other, number) for each in (ratio, cost))
            cells += f"{rates:>19.2f} ({costs:.2f})"
            reached.append(other not in GOALS or rates >= GOALS[other])
        more = added(measured, number)
        reached.append(number > 1 or more < ADDED_MS)
        print(f"  {number:>11}{cells}{more:>11.1f}")
    print(
        f"\n  {'connections':>11}  {'':24}{'a second':>9}{'p50 ms':>8}{'p99 ms':>8}{'trips':>6}",
        end="",
    )
    print("".join(f"{part:>10}" for part in PARTS) + "  ms of processor each")
    for number, side in product(numbers, SIDES):
        rate, middle, slow = (
            median(measured, side, number, what) for what in ("per_second", "p50", "p99")
        )
        print(f"  {number:>11}  {side:24}{rate:>9.0f}{middle:>8.1f}{slow:>8.1f}", end="")
        print(f"{ROUND_TRIPS[side]:>6}", end="")
        print("".join(f"{median(measured, side, number, part):>10.2f}" for part in PARTS))
    print()
    for what, figure in footprint.items():
        print(f"  {what}: {figure:,.{0 if figure > 100 else 2}f}")
    return 0 if all(reached) else 1
