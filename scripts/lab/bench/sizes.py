"""Measure what people ask for most with ten thousand sessions, a million and five million."""

import json
import statistics
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import click
import psycopg

from scripts import CommandError
from scripts.lab.bench import FOLDER
from scripts.local.postgres import EmbeddedPostgres
from scripts.operate import psql

SIZES = (10_000, 1_000_000, 5_000_000)
GOAL = 1.3  # times as long with the most sessions as with the fewest, at most
_CALLS = 300
_PEOPLE = 30  # people who ask, in turn: what they need is in memory after the first round
_OF_A_THERAPIST = 1000  # sessions, an hour apart, of which these lie ahead:
_AHEAD = 100
_OF_A_CLIENT = 50

# What is asked, and by which kind of person. A full hour from now on is taken for each of them, the
# half hour after it is free.
ASKED = {
    "pending list": ("client", "select * from public.list_pending_sessions()"),
    "upcoming list": ("client", "select * from public.list_sessions(p_upcoming => true)"),
    "calendar, a free time": (
        "therapist",
        "select * from public.check_availability(("
        "'{hour}'::timestamptz + interval '30 minutes')::text)",
    ),
    "calendar, a taken time": ("therapist", "select * from public.check_availability('{hour}')"),
    "join": ("therapist", "select * from public.join_session('{session}')"),
}


@click.command(
    help=__doc__,
    epilog="The largest takes some minutes and 4 GB of disk, which it gives back.",
)
@click.option("--largest", type=int, default=max(SIZES), show_default=True, help="Sessions.")
@click.option("--plans", is_flag=True, help="Print the plans at the largest size.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write all that was measured there, as JSON.",
)
def main(largest: int, plans: bool, output: Path | None) -> int:
    """Print the ratios, then the times; 0 when every one reaches the goal, 1 if not."""
    sizes = sorted({size for size in SIZES if size < largest} | {largest})
    measured: dict[int, dict[str, float]] = {}
    try:
        with EmbeddedPostgres(FOLDER / "postgres", config={"shared_buffers": "1GB"}) as server:
            for size in sizes:
                address = _prepare(server, size)
                measured[size] = _measure(address, size)
                if plans and size == sizes[-1]:
                    _print_plans(address, size)
                with psycopg.connect(server.uri(), autocommit=True) as db:
                    db.execute("drop database bench_sizes with (force)")
    except CommandError as error:
        error.show()
        return 2
    if output:
        output.write_text(json.dumps(measured, indent=2) + "\n")
    return _report(measured)


def _prepare(server: EmbeddedPostgres, size: int) -> str:
    """Make a database of so many sessions, a tenth of them ahead, each person equally busy."""
    began = time.monotonic()
    with psycopg.connect(server.uri(), autocommit=True) as db:
        db.execute("drop database if exists bench_sizes with (force)")
        db.execute("create database bench_sizes")
    address = server.uri("bench_sizes")
    psql.apply(address, [psql.SUPABASE, psql.STARTER, psql.INSTALL])
    people = {"therapist": size // _OF_A_THERAPIST, "client": size // _OF_A_CLIENT}
    with psycopg.connect(address, autocommit=True) as db:
        # So that a session of theirs can be joined at any hour of the day.
        db.execute("update session_approval.settings set join_early = interval '1 day'")
        # Without triggers: writing sessions is not measured.
        db.execute("set session_replication_role = replica")
        for kind, number in people.items():
            db.execute(
                "insert into public.users (id, email, full_name, user_type)"
                " select (%s || lpad(n::text, 12, '0'))::uuid, %s || n || '@example.org',"
                " 'Person ' || n, %s from generate_series(0, %s - 1) n",
                (
                    _PREFIX[kind],
                    kind,
                    "therapist" if kind == "therapist" else "individual",
                    number,
                ),
            )
        db.execute(
            "insert into public.sessions (user_id, therapist_id, created_by, status, title,"
            " requires_approval, approved_at, start_time, end_time, duration_minutes, time_zone,"
            " approval_expires_at)"
            " select (%(client)s || lpad((n %% %(clients)s)::text, 12, '0'))::uuid, t.id, t.id,"
            " case when at.ago > 0 then 'completed' when n / %(clients)s %% 3 > 0 then 'scheduled'"
            " else 'pending_approval' end,"
            " 'Session', true, case when at.ago > 0 or n / %(clients)s %% 3 > 0 then now() end,"
            " at.start, at.start + interval '30 minutes', 30, 'UTC', at.start"
            " from generate_series(0, %(size)s - 1) n,"
            " lateral (select (%(therapist)s || lpad((n %% %(therapists)s)::text, 12, '0'))::uuid"
            "   as id) t,"
            " lateral (select %(past)s - n / %(therapists)s as ago) passed,"
            " lateral (select passed.ago, date_trunc('hour', now())"
            "   - (passed.ago - 1) * interval '1 hour' as start) at",
            {
                "client": _PREFIX["client"],
                "therapist": _PREFIX["therapist"],
                "clients": people["client"],
                "therapists": people["therapist"],
                "past": _OF_A_THERAPIST - _AHEAD,
                "size": size,
            },
        )
        db.execute(
            "insert into session_approval.bookings (session_id, person_id, during)"
            " select h.id, person.id, tstzrange(h.start_time, h.end_time)"
            " from session_approval.held_sessions h"
            " cross join lateral (values (h.therapist_id), (h.user_id)) person (id)"
        )
        db.execute("vacuum analyze")
    _say(f"{size:>9} sessions made ready in {time.monotonic() - began:.0f} s")
    return address


_PREFIX = {
    "therapist": "00000000-0000-4000-8000-",
    "client": "00000000-0000-4000-9000-",
}


def _measure(address: str, size: int) -> dict[str, float]:
    """Ask everything many times, of many people in turn; the median milliseconds of each."""
    medians = {}
    with psycopg.connect(address, autocommit=True) as db:
        for name, (kind, question) in ASKED.items():
            number = size // (_OF_A_THERAPIST if kind == "therapist" else _OF_A_CLIENT)
            asked = [_asked(db, kind, turn * 7919 % number, question) for turn in range(_PEOPLE)]
            taken = [_ask(db, *asked[turn % _PEOPLE]) for turn in range(_PEOPLE + _CALLS)]
            medians[name] = statistics.median(taken[_PEOPLE:]) * 1000
    return medians


def _asked(db: psycopg.Connection[Any], kind: str, number: int, question: str) -> tuple[str, str]:
    """Return who asks, and the question about their own hour or session."""
    person = f"{_PREFIX[kind]}{number:012}"
    hour, session = db.execute(
        "select hour.at, s.id"
        " from (select date_trunc('hour', now()) + interval '20 hours' as at) hour"
        " left join public.sessions s"
        "   on (s.therapist_id, s.start_time) = (%s, hour.at + interval '1 hour')",
        (person,),
    ).fetchall()[0]
    return person, question.format(hour=hour, session=session)


def _ask(db: psycopg.Connection[Any], person: str, statement: str) -> float:
    """Ask as one person, as PostgREST does; return the seconds that the answer took.

    What it changed is taken back, so that the next one finds the same.
    """
    with db.transaction(force_rollback=True):
        db.execute(
            "select set_config('role', 'authenticated', true),"
            " set_config('request.jwt.claims', json_build_object('role', 'authenticated',"
            " 'sub', %s::text)::text, true)",
            (person,),
        )
        began = time.perf_counter()
        db.execute(statement.encode(), prepare=True).fetchall()
        return time.perf_counter() - began


def _print_plans(address: str, size: int) -> None:
    """Print the plan of every statement behind each question, as auto_explain tells it."""
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("load 'auto_explain'")
        for setting, value in {
            "auto_explain.log_min_duration": "0",
            "auto_explain.log_nested_statements": "on",
            "auto_explain.log_analyze": "on",
            "auto_explain.log_buffers": "on",
            "auto_explain.log_level": "notice",
        }.items():
            db.execute("select set_config(%s, %s, false)", (setting, value))
        db.add_notice_handler(lambda notice: print(notice.message_primary))
        numbers = count(1)
        for name, (kind, question) in ASKED.items():
            print(f"\n{name}, {size} sessions:")
            _ask(db, *_asked(db, kind, next(numbers), question))


def _report(measured: dict[int, dict[str, float]]) -> int:
    fewest, most = min(measured), max(measured)
    print(f"\nTime with {most:,} sessions as a multiple of that with {fewest:,}")
    print(f"(the goal is {GOAL} or less), and medians of {_CALLS} calls in milliseconds:\n")
    print(f"  {'':24}{'times':>7}" + "".join(f"{size:>13,}" for size in measured))
    reached = True
    for name in ASKED:
        ratio = measured[most][name] / measured[fewest][name]
        reached &= ratio <= GOAL
        each = "".join(f"{one[name]:>13.2f}" for one in measured.values())
        print(f"  {name:24}{ratio:>7.2f}{each}{'' if ratio <= GOAL else '  above the goal'}")
    return 0 if reached else 1


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)
