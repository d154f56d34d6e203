"""Try two shards by client behind PL/Proxy: what stays on one, and what a calendar costs."""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psycopg

from scripts.local import ROOT, StackError, database
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST
from scripts.scaling import parts
from scripts.scaling.history import Door, Load, check
from scripts.scaling.people import SECRET, People, client_id, therapist_id, token

_BIN = Path("/usr/lib/postgresql/15/bin")
_SHARDS = 2
_FOLDER = ROOT / "scripts" / "scaling"
_HOUR = "2099-01-01T10:00:00Z"
_ASKED = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what each call costs on one server and on two shards; 0 when all was exact."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.scaling.sharding",
        description=__doc__,
        epilog="It needs Debian's Postgres 15 and PL/Proxy: apt-get install postgresql-15"
        " postgresql-15-plproxy",
    )
    parser.add_argument("--approvals", type=int, default=1500, help="of a side (%(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="(default: %(default)s)")
    given = parser.parse_args(arguments)
    return parts.run(lambda folder: _measure(folder, given.approvals, given.connections))


def _measure(folder: Path, approvals: int, connections: int) -> int:
    parts.program("postgres", "postgresql-15", str(_BIN))
    if not Path("/usr/share/postgresql/15/extension/plproxy.control").exists():
        raise StackError("plproxy is not on this machine: apt-get install postgresql-15-plproxy")
    people = People(clients=100, sessions=4 * approvals, therapists=10)
    with ExitStack() as ended:
        names = ["one", "router", *(f"shard-{n}" for n in range(_SHARDS))]
        servers = [
            ended.enter_context(EmbeddedPostgres(folder / name, bin_dir=_BIN)) for name in names
        ]
        one, router, *shards = servers
        people.install(one.uri())
        for number, shard in enumerate(shards):
            people.install(shard.uri())
            database.apply(shard.uri(), [_FOLDER / "shard.sql"])
            _keep_clients_of(shard, number)
        database.apply(router.uri(), [database.SUPABASE])
        _route(router, shards)
        urls = {}
        for name, server in (("one server", one), ("two shards", router)):
            rest = PostgREST(server.uri(user="authenticator"), SECRET, folder / f"{name}.log")
            ended.callback(rest.stop)
            rest.start()
            urls[name] = rest.url
        tokens, requests = people.tokens(), people.requests()
        rates: dict[str, list[float]] = {name: [] for name in urls}
        history: dict[str, list[Any]] = {name: [] for name in urls}
        for turn in range(2):
            some = list(islice(requests, approvals))
            for name in urls if turn else reversed(urls):
                with Load([Door.postgrest(urls[name])], tokens, some, connections) as load:
                    load.wait()
                history[name] += load.history
                rates[name].append(len(load.history) / load.seconds)
        wrong = _compare(one, shards, history)
        times = {name: _times(url) for name, url in urls.items()}
        refused = [_refusal(url) for url in urls.values()]
        twice = _propose_twice(urls["two shards"], router)
    print(f"  {'':34}{'one server':>12}{'two shards':>12}{'ratio':>8}")
    figures = {"approvals a second": {name: max(each) for name, each in rates.items()}}
    figures |= {
        f"{what}, ms": {name: times[name][what] for name in urls} for what in times["one server"]
    }
    for what, each in figures.items():
        single, two = each["one server"], each["two shards"]
        print(f"  {what:34}{single:>12.1f}{two:>12.1f}{two / single:>8.2f}")
    print(
        f"\n{len(history['two shards'])} approvals on the shards; lost or taken twice: {len(wrong)}"
    )
    for found in wrong[:10]:
        print(f"  {found}")
    print(f"A refusal reads the same through the router: {refused[0] == refused[1]}")
    print(f"One therapist, one hour, a client on each shard: answers {twice}")
    return 1 if wrong or refused[0] != refused[1] else 0


def _keep_clients_of(shard: EmbeddedPostgres, number: int) -> None:
    """Leave on a shard the sessions and credits of its own clients; people are on every one."""
    with psycopg.connect(shard.uri()) as db:
        db.execute("set local session_replication_role = replica")
        db.execute("set local session_approval.allow_ledger_changes = 'on'")
        for rows in (
            "session_approval.bookings b using public.sessions s where b.session_id = s.id and",
            "session_approval.credit_ledger s where",
            "public.user_credits s where",
            "public.sessions s where",
        ):
            db.execute(
                f"delete from {rows} hashtext(s.user_id::text) & %s <> %s".encode(),  # noqa: S608
                (_SHARDS - 1, number),
            )


def _route(router: EmbeddedPostgres, shards: Sequence[EmbeddedPostgres]) -> None:
    variables = {f"shard_{n}": f"dbname=postgres host={one.data}" for n, one in enumerate(shards)}
    database.apply(router.uri(), [_FOLDER / "router.sql"], variables)


def _compare(
    one: EmbeddedPostgres, shards: Sequence[EmbeddedPostgres], history: dict[str, list[Any]]
) -> list[str]:
    """Check the one server, and each shard with the approvals of its own clients."""
    wrong = check(one.uri(), history["one server"])
    for shard in shards:
        with psycopg.connect(shard.uri()) as db:
            here = {str(found) for (found,) in db.execute("select id from public.sessions")}
        wrong += check(shard.uri(), [a for a in history["two shards"] if a.request.session in here])
    return wrong


def _times(url: str) -> dict[str, float]:
    """Return the median milliseconds of calls, one after another."""
    client, therapist = token(client_id(1)), token(therapist_id(1))
    asked: dict[str, tuple[str, dict[str, Any], str]] = {
        "a client's pending list": ("list_pending_sessions", {}, client),
        "a client's credits": ("get_credits", {}, client),
        "a therapist's calendar": ("check_availability", {"p_start_time": _HOUR}, therapist),
        "a therapist's sessions": ("list_sessions", {"p_upcoming": True}, therapist),
    }
    medians = {}
    with httpx.Client() as http:
        for what, (function, parameters, who) in asked.items():
            taken = []
            for _ in range(_ASKED):
                began = time.perf_counter()
                _call(http, url, function, parameters, who).raise_for_status()
                taken.append((time.perf_counter() - began) * 1000)
            medians[what] = statistics.median(taken)
    return medians


def _refusal(url: str) -> tuple[int, str]:
    """Approve a session that is somebody else's, and return the answer."""
    foreign = {"p_session_id": "00000000-0000-4000-a000-000000000002"}
    with httpx.Client() as http:
        answer = _call(http, url, "approve_session_and_deduct_credit", foreign, token(client_id(1)))
    return answer.status_code, answer.text


def _propose_twice(url: str, router: EmbeddedPostgres) -> list[int]:
    """Have a therapist propose one hour to two clients on different shards."""
    with psycopg.connect(router.uri()) as db:
        places = {
            client: db.execute("select hashtext(%s) & %s", (client, _SHARDS - 1)).fetchone()
            for client in map(client_id, range(20))
        }
    clients = {place: client for client, place in places.items()}.values()
    with httpx.Client() as http:
        return [
            _call(
                http,
                url,
                "create_custom_session",
                {"p_patient_id": client, "p_start_time": _HOUR},
                token(therapist_id(2)),
            ).status_code
            for client in clients
        ]


def _call(
    http: httpx.Client, url: str, function: str, parameters: dict[str, Any], who: str
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {who}"}
    return http.post(f"{url}/rpc/{function}", json=parameters, headers=headers, timeout=10)


if __name__ == "__main__":
    sys.exit(main())
