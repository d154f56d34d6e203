"""Read from a streaming replica: which calls it answers, how late it is, and what commits pay."""

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import httpx
import psycopg

from scripts.lab.availability import parts
from scripts.lab.availability.history import Load, Target
from scripts.lab.availability.people import SECRET, People, Request, therapist_id, token
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST

# How long a commit waits: for the primary's disk, for the standby's, until it can be read there.
_MODES = ("local", "on", "remote_apply")
_LOOKS = 100  # at the replica, after an approval each, in each mode and round
_SESSION = "00000000-0000-4000-a000-000000000000"
# Every entry point, with its parameters. A replica must answer those that read, and no other.
_READS: dict[str, dict[str, object]] = {
    "list_pending_sessions": {},
    "list_sessions": {"p_upcoming": True},
    "get_session": {"p_session_id": _SESSION},
    "get_credits": {},
    "list_clients": {},
    "check_availability": {"p_start_time": "2099-01-01T10:00:00Z"},
    "preview_cancellation": {"p_session_id": _SESSION},
}
_WRITES: dict[str, dict[str, object]] = {
    "create_custom_session": {
        "p_patient_id": "00000000-0000-4000-9000-000000000000",
        "p_start_time": "2099-01-01T10:00:00Z",
    },
    "approve_session_and_deduct_credit": {"p_session_id": _SESSION},
    "decline_session": {"p_session_id": _SESSION},
    "cancel_session": {"p_session_id": _SESSION},
    "join_session": {"p_session_id": _SESSION},
    "finish_session": {"p_session_id": _SESSION, "p_outcome": "completed"},
}
_THERAPISTS = {"list_clients", "check_availability", "create_custom_session", "finish_session"}


@click.command(
    help=__doc__,
    epilog="It needs nothing beyond make. Two servers on this machine stand for two machines: a"
    " network between them adds to every figure but that of local.",
)
@click.option("--approvals", type=int, default=1000, show_default=True, help="Of each mode.")
@click.option("--connections", type=int, default=8, show_default=True)
def main(approvals: int, connections: int) -> int:
    """Print what the replica answers and how late; 0 when it answers every call that reads."""
    return parts.run(lambda folder: _measure(folder, approvals, connections))


def _measure(folder: Path, approvals: int, connections: int) -> int:
    people = People(clients=100, sessions=1 + 2 * len(_MODES) * (approvals + _LOOKS))
    with ExitStack() as ended:
        primary = ended.enter_context(EmbeddedPostgres(folder / "a"))
        people.install(primary.uri())
        standby = ended.enter_context(parts.make_standby(primary, folder / "b"))
        parts.follow_synchronously(primary)
        rests = []
        for name, server in (("primary", primary), ("replica", standby)):
            rest = PostgREST(
                server.uri(user="authenticator"),
                SECRET,
                folder / f"{name}.log",
                # A replica cannot be listened on: SIGUSR1 has it read a changed schema.
                settings={"PGRST_DB_CHANNEL_ENABLED": "false"} if server is standby else None,
            )
            ended.callback(rest.stop)
            rest.start()
            rests.append(rest.url)
        answered = _print_answers(rests[1], people)
        requests, tokens = people.requests(1), people.tokens()
        rates: dict[str, list[float]] = {mode: [] for mode in _MODES}
        late: dict[str, list[float]] = {mode: [] for mode in _MODES}
        for turn in range(2):
            for mode in _MODES if turn else reversed(_MODES):
                with psycopg.connect(primary.uri(), autocommit=True) as db:
                    db.execute(f"alter system set synchronous_commit = '{mode}'")
                    db.execute("select pg_reload_conf()")
                some = [next(requests) for _ in range(approvals)]
                with Load([Target.postgrest(rests[0])], tokens, some, connections) as load:
                    late[mode] += _lateness(rests, requests, tokens, _LOOKS)
                    load.wait()
                rates[mode].append(len(load.history) / load.seconds)
    print("\nWhat a commit waits for, and how soon an approval is read on the replica:\n")
    print(f"  {'synchronous_commit':20}{'approvals/s':>12}{'ratio':>7}{'read at once':>14}", end="")
    print(f"{'p50 late':>11}{'worst':>10}")
    for mode in _MODES:
        at_once = sum(not one for one in late[mode]) / len(late[mode])
        print(
            f"  {mode:20}{max(rates[mode]):>12.0f}{max(rates[mode]) / max(rates['local']):>7.2f}"
            f"{at_once:>14.0%}{statistics.median(late[mode]) * 1000:>8.1f} ms"
            f"{max(late[mode]) * 1000:>7.1f} ms"
        )
    return 0 if answered else 1


def _print_answers(url: str, people: People) -> bool:
    """Call every entry point on the replica and print what it answers."""
    right = True
    tokens = {"client": next(iter(people.tokens().values())), "therapist": token(therapist_id(0))}
    print("What a replica answers:\n")
    for name, parameters in {**_READS, **_WRITES}.items():
        who = tokens["therapist" if name in _THERAPISTS else "client"]
        answer = _call(httpx.Client(), url, name, parameters, who)
        code = "" if answer.is_success else answer.json().get("code")
        print(f"  {name:36}{answer.status_code} {code}")
        right &= answer.is_success == (name in _READS)
    return right


def _lateness(
    urls: Sequence[str], requests: Iterator[Request], tokens: dict[str, str], times: int
) -> list[float]:
    """Approve on the primary, then ask the replica until it shows that; return the seconds."""
    late = []
    with httpx.Client() as http:
        for _ in range(times):
            request = next(requests)
            parameters = {"p_session_id": request.session}
            who = tokens[request.client]
            _call(http, urls[0], "approve_session_and_deduct_credit", parameters, who)
            approved = time.monotonic()
            looks = 0
            while True:
                [session] = json.loads(_call(http, urls[1], "get_session", parameters, who).text)
                if session["status"] == "scheduled":
                    break
                looks += 1
            late.append(time.monotonic() - approved if looks else 0.0)
    return late


def _call(
    http: httpx.Client, url: str, function: str, parameters: dict[str, Any], who: str
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {who}"}
    return http.post(f"{url}/rpc/{function}", json=parameters, headers=headers, timeout=10)
