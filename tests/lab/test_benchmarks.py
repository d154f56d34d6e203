"""The benchmarks run, and the page that publishes them names what exists."""

import json
import math
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import ROOT, CommandError
from scripts.lab.bench import MEASURES, http, load, publish
from tests import programs

LARGEST_PICTURE = 60_000  # bytes


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What was measured over HTTP in so little time that it says nothing, and what was printed."""
    path = tmp_path_factory.mktemp("measured") / "http.json"
    run = programs.run(
        *("lab", "bench", "http", "--seconds", 0.5, "--rounds", 1, "--connections", 1),
        *("--output", path),
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return path, run.stdout


def test_every_side_approves_and_every_part_is_measured(measured: tuple[Path, str]) -> None:
    path, said = measured
    found = json.loads(path.read_text())
    rounds = [http.Round(**one) for one in found["rounds"]]

    assert {one.side for one in rounds} == set(http.SIDES)
    assert all(one.approvals > 0 and one.p99 >= one.p50 > 0 for one in rounds)
    assert sum(one.processor["Postgres"] for one in rounds) > 0
    assert found["footprint"]["functions"] > 50
    for side in http.SIDES:
        assert side in said


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    """A folder with what make bench measures, made up."""
    rounds = [vars(a_round(side, ticks=3)) for side in http.SIDES]
    times = {"pending list": 1.0, "upcoming list": 2.0}
    slower = {"pending list": 1.1, "upcoming list": 2.8}
    made_up = {
        "http": {"rounds": rounds, "footprint": {"functions": 86.0}},
        "approvals": approvals(ours=90.0),
        "sizes": {"10000": times, "5000000": slower},
    }
    for name, each in made_up.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(each))
    return tmp_path


def a_round(side: str, ticks: int) -> http.Round:
    """A hundred approvals, in which every part burned so many ticks of the system's clock."""
    parts = dict.fromkeys(http.PARTS, ticks * 0.1)
    return http.Round(side, 1, 100, per_second=100.0, p50=9.0, p99=20.0, processor=parts)


def approvals(ours: float) -> list[dict[str, object]]:
    """What pgbench measured, where the same statements by hand reach 100 a second."""
    rates = {"ours": ours, "the same": 100.0, "the least": 150.0, "one row": 300.0}
    return [
        {"side": side, "wallets": 1000, "clients": 1, "per_second": rate, "milliseconds": 1.0}
        for side, rate in rates.items()
    ]


def published(figures: Path, page: Path) -> None:
    """Publish figures, as the command does."""
    arguments = ["--measured", str(figures), "--page", str(page)]
    publish.main.main(arguments, standalone_mode=False)


def test_what_was_measured_is_published_with_its_plots(figures: Path) -> None:
    page = figures / "benchmarks.md"
    published(figures, page)

    text = page.read_text()
    assert "| SQL: 0.8 of the same statements by hand, or more | 0.90 to 0.90 | reached |" in text
    assert "at most | 1.10 to 1.40 | **missed** |" in text
    assert "$" not in text
    for picture in re.findall(r"\]\((.+?\.svg)\)", text):
        assert 1000 < (figures / picture).stat().st_size < LARGEST_PICTURE


def test_a_run_too_short_for_its_processor_time_is_not_published(figures: Path) -> None:
    rounds = [a_round(side, ticks=side != http.ALONE) for side in http.SIDES]
    assert math.isnan(http.cost(rounds, http.ALONE, http.API, 1))
    written = {"rounds": [vars(one) for one in rounds], "footprint": {}}
    (figures / "http.json").write_text(json.dumps(written))
    page = figures / "benchmarks.md"

    with pytest.raises(CommandError, match="too short") as refused:
        published(figures, page)
    assert refused.value.exit_code == 2
    assert not page.exists()


def test_nothing_is_published_before_it_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    with pytest.raises(CommandError, match="run make bench first") as refused:
        published(tmp_path, page)
    assert refused.value.exit_code == 2
    assert not page.exists()


def test_a_tiny_run_is_not_published() -> None:
    ended = programs.run("lab", "bench", "--tiny", "--publish")

    assert ended.returncode == 2
    assert "is not published" in ended.stderr


def test_the_page_names_programs_and_pictures_that_exist() -> None:
    text = publish.DOC.read_text()
    assert set(re.findall(r"-m scripts lab bench (\w+)", text)) == set(MEASURES)
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert f"\n{target}: " in (ROOT / "Makefile").read_text()
    pictures = re.findall(r"\]\((.+?\.svg)\)", text)
    assert len(pictures) == 4
    for picture in pictures:
        assert (ROOT / "docs" / picture).stat().st_size < LARGEST_PICTURE
    assert not re.search(rf"{re.escape(socket.gethostname())}\b|/tmp/|/home/|/root/", text)


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"  # as PostgREST
)


@pytest.fixture
def replies() -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that gives these replies in turn, a piece at a time."""
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                while line.recv(65536) and said:
                    for byte in said.pop(0):
                        line.sendall(bytes([byte]))

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], said


def test_the_generator_reads_an_answer_to_its_end_and_a_job_to_its_last_call(
    replies: tuple[int, list[bytes]],
) -> None:
    port, said = replies
    said += [CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"]
    call = load.request("GET", "/", {})

    assert len(load.run(port, iter([[call, call]]), 1, 0).times) == 1
    assert said == []


def test_the_generator_counts_no_refusal(replies: tuple[int, list[bytes]]) -> None:
    port, said = replies
    said.append(b"HTTP/1.1 402 Payment Required\r\nContent-Length: 2\r\n\r\n{}")
    with pytest.raises(CommandError, match="402"):
        load.run(port, iter([[load.request("GET", "/", {})]]), 1, 0)
