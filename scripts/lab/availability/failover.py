"""Kill a primary under load, promote its synchronous standby, and look for what was lost."""

import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import click
import psycopg

from scripts import CommandError
from scripts.lab.availability import parts
from scripts.lab.availability.history import (
    Attempt,
    Load,
    Target,
    check,
    done_without_acknowledgement,
    kinds_of_answers,
)
from scripts.lab.availability.people import SECRET, People
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST

_LOOK_EVERY = 0.1
_LOOKS = 3  # in a row without an answer, before the standby is promoted
_MODES = ("on", "remote_apply", "local")


@dataclass(frozen=True)
class Round:
    """What one kill did. Times are seconds after it."""

    promoted: float
    first_answer: float
    history: Sequence[Attempt]
    wrong: Sequence[str]


@click.command(
    help=__doc__,
    epilog="It needs nothing beyond make. Two servers on this machine stand for two machines; with"
    " --commit local a loss is expected, and shows that the check would see one.",
)
@click.option("--rounds", type=int, default=5, show_default=True, help="Kills.")
@click.option(
    "--seconds", type=float, default=3, show_default=True, help="Of load before and after each."
)
@click.option("--connections", type=int, default=8, show_default=True)
@click.option(
    "--commit",
    type=click.Choice(_MODES),
    default="on",
    show_default=True,
    help="synchronous_commit.",
)
@click.option(
    "--without-fsync",
    is_flag=True,
    help="Faster; only a crash of the whole machine could lose what it leaves out.",
)
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the last round, as SVG.")
def main(
    rounds: int,
    seconds: float,
    connections: int,
    commit: str,
    without_fsync: bool,
    picture: Path | None,
) -> int:
    """Print each round, and the figures of all; 0 when nothing was lost or taken twice, else 1."""
    config = {"synchronous_commit": commit, "fsync": "off" if without_fsync else "on"}

    def measure(folder: Path) -> int:
        measured, old = _measure(folder, rounds, seconds, connections, config)
        if picture:
            picture.write_text(_draw(measured[-1]))
        return _report(measured, commit, old)

    return parts.run(measure)


def _measure(
    folder: Path, rounds: int, seconds: float, connections: int, config: dict[str, str]
) -> tuple[list[Round], str]:
    people = People(clients=100, sessions=int(rounds * (2 * seconds + 6) * 1000))
    places = [folder / "a", folder / "b"]
    hosts = ",".join(str(place) for place in places)
    with ExitStack() as ended:
        primary = EmbeddedPostgres(places[0], config=config)
        primary.start()
        ended.callback(primary.stop)
        with psycopg.connect(primary.uri(), autocommit=True) as db:
            db.execute("create database sa")
        people.install(primary.uri("sa"))
        rest = PostgREST(
            f"postgresql://authenticator@/sa?host={hosts}&target_session_attrs=read-write",
            SECRET,
            folder / "postgrest.log",
        )
        ended.callback(rest.stop)
        rest.start()
        api = parts.Api(rest.url, folder / "api.log")
        ended.callback(api.stop)
        api.start()
        tokens, requests = people.tokens(), people.requests()
        measured = []
        for number in range(rounds):
            standby = parts.make_standby(primary, places[(number + 1) % 2], config)
            ended.callback(standby.stop)
            standby.start()
            parts.follow_synchronously(primary)
            load = Load([Target.api(api.url)], tokens, requests, connections)
            one = _lose(primary, standby, load, seconds)
            measured.append(replace(one, wrong=check(standby.uri("sa"), one.history)))
            parts.say(
                f"round {number + 1}: promoted after {one.promoted:.2f} s, first good answer after"
                f" {one.first_answer:.2f} s; {kinds_of_answers(one.history)}"
            )
            old, primary = primary, standby
        ended.callback(old.stop)
        return measured, _the_old_one_returns(old)


def _lose(
    primary: EmbeddedPostgres, standby: EmbeddedPostgres, load: Load, seconds: float
) -> Round:
    """Kill the primary during approvals, and promote the standby when it is missed."""
    promoted: list[float] = []
    watch = threading.Thread(target=_promote_when_missed, args=(primary, standby, promoted))
    with load:
        time.sleep(seconds)
        watch.start()
        killed = time.monotonic()
        gone = parts.kill(primary)  # from then on only the standby can answer
        watch.join()
        parts.wait_for(lambda: load.acknowledged_since(gone), "a good answer", 90)
        time.sleep(seconds)
    primary.stop()  # its processes are gone: this gives its lock back
    first = load.acknowledged_since(gone)
    if first is None or not promoted:
        raise CommandError("the standby was not promoted")
    history = [
        replace(one, began=one.began - killed, ended=one.ended - killed) for one in load.history
    ]
    return Round(promoted[0] - killed, first.ended - killed, history, [])


def _the_old_one_returns(old: EmbeddedPostgres) -> str:
    """Start the killed primary as it is, and say what it acknowledges without its standby."""
    acknowledged = threading.Event()

    def write() -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(old.uri("sa")) as db:
            db.execute("set local statement_timeout = '500ms'")
            db.execute("update public.users set is_active = is_active")
            db.commit()
            acknowledged.set()

    old.start()
    writer = threading.Thread(target=write)
    writer.start()
    alone = acknowledged.wait(2)
    with psycopg.connect(old.uri("sa"), autocommit=True) as db:
        db.execute(
            "select pg_cancel_backend(a.pid) from pg_stat_activity a where a.wait_event = 'SyncRep'"
        )
    cancelled = acknowledged.wait(5)
    parts.kill(old)
    old.stop()
    writer.join()
    return (
        f"a write is {'' if alone else 'not '}acknowledged within 2 s,"
        f" and {'is' if cancelled else 'not even'} once it is cancelled"
    )


def _promote_when_missed(
    primary: EmbeddedPostgres, standby: EmbeddedPostgres, promoted: list[float]
) -> None:
    """Watch the primary; when it is silent several times in a row, promote the standby."""
    silent = 0
    while silent < _LOOKS:
        time.sleep(_LOOK_EVERY)
        looked = subprocess.run(
            [primary.bin_dir / "pg_isready", "-q", "-t", "1", "-h", primary.data], check=False
        )
        silent = silent + 1 if looked.returncode != 0 else 0
    user = parts.server_user(standby)
    # It has no standby of its own yet: commits must not wait for one.
    with psycopg.connect(standby.uri(), autocommit=True) as db:
        db.execute("alter system set synchronous_standby_names = ''")
    subprocess.run(
        [standby.bin_dir / "pg_ctl", "promote", "--no-wait", "--silent", "-D", standby.data],
        user=user,
        group=user,
        check=True,
    )
    with psycopg.connect(standby.uri(), autocommit=True) as db:
        parts.wait_for(
            lambda: db.execute("select true where not pg_is_in_recovery()").fetchone(),
            "the standby to be promoted",
        )
    promoted.append(time.monotonic())


def _report(rounds: Sequence[Round], commit: str, old: str) -> int:
    everything = [one for each in rounds for one in each.history]
    first = [each.first_answer for each in rounds]
    acknowledged = {one.request.session for one in everything if one.acknowledged}
    unknown = done_without_acknowledgement(everything, "UPSTREAM_UNAVAILABLE")
    wrong = [found for each in rounds for found in each.wrong]
    promoted = [each.promoted for each in rounds]
    print(f"synchronous_commit = {commit}; the primary killed with -9 {len(rounds)} times\n")
    for what, figure in {
        "approvals acknowledged": len(acknowledged),
        "acknowledged and lost, or taken twice": len(wrong),
        "answers of each kind": kinds_of_answers(everything),
        "told that nothing was done, and it was": unknown,
        "promoted, seconds after the kill": _spread(promoted),
        "first good answer, seconds after": _spread(first),
        "the old primary comes back": old,
    }.items():
        print(f"  {what:40} {figure}")
    for found in islice(wrong, 10):
        print(f"    {found}")
    return 1 if wrong or unknown else 0


def _spread(seconds: Sequence[float]) -> str:
    return f"median {statistics.median(seconds):.2f}, worst {max(seconds):.2f}"


def _draw(one: Round) -> str:
    """Draw what was answered in each tenth of a second around the kill: acknowledged, failed."""
    first, last, wide, high, base = -20, 40, 12, 160, 200
    bars = Counter((int(each.ended * 10 // 1), each.acknowledged) for each in one.history)
    shown = {where: number for where, number in bars.items() if first <= where[0] < last}
    scale = high / max(shown.values())
    width = (last - first) * wide + 40

    def across(tenths: float) -> float:
        return 20 + (tenths - first) * wide

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 240"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="240" fill="#fff"/>',
    ]
    for (tenth, good), number in sorted(shown.items()):
        left = across(tenth) + (0 if good else wide / 2)
        lines.append(
            f'<rect x="{left:.0f}" y="{base - number * scale:.0f}" width="{wide / 2 - 1:.0f}"'
            f' height="{number * scale:.0f}" fill="{"#2a7d4f" if good else "#c0392b"}"/>'
        )
    for second in range(first // 10, last // 10 + 1):
        lines.append(f'<text x="{across(second * 10):.0f}" y="{base + 16}">{second} s</text>')
    for row, (name, moment) in enumerate(
        {"killed": 0, "promoted": one.promoted, "first good answer": one.first_answer}.items()
    ):
        x = across(moment * 10)
        lines.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="14" y2="{base}" stroke="#333"/>')
        lines.append(f'<text x="{x + 4:.0f}" y="{26 + row * 15}">{name}</text>')
    lines.append(
        f'<text x="20" y="{base + 34}"><tspan fill="#2a7d4f">acknowledged</tspan> and'
        ' <tspan fill="#c0392b">failed</tspan> requests in each tenth of a second</text>'
    )
    return "\n".join([*lines, "</svg>"]) + "\n"
