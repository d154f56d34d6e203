"""An approval runs in few SQL files, so that a reader can follow it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.operate.sql_files import object_file
from tests import actors
from tests.actors import Connection, Person, approve, propose
from tests.house.sizes import lines_by_part, report

# auth.uid() is Supabase's. Postgres counts no function that it puts into the query that calls it.
_CALLED = """
select s.funcname as name, s.calls
from pg_stat_xact_user_functions s
where s.schemaname in ('public', 'session_approval')
"""


@pytest.fixture
def counting(db: Connection) -> Iterator[Connection]:
    """A connection that counts the calls of functions."""
    db.execute("set track_functions = 'all'")
    yield db
    db.execute("reset track_functions")


def calls(db: Connection) -> dict[str, int]:
    """Return how often each function of ours was called in this transaction."""
    so_far: dict[str, int] = {}
    for function in db.execute(_CALLED):  # an entry point and its implementation share a name
        so_far[function["name"]] = so_far.get(function["name"], 0) + function["calls"]
    return so_far


@pytest.mark.parametrize("is_instant", [False])
def test_an_approval_runs_in_at_most_18_sql_files(
    counting: Connection, therapist: Person, client: Person, is_instant: bool
) -> None:
    actors.give_credits(counting, client)
    session = propose(counting, therapist, client, p_is_instant=is_instant)
    before = calls(counting)

    approve(counting, client, session)

    after = calls(counting)
    files = {object_file(name) for name in after if after[name] > before.get(name, 0)}
    assert 5 < len(files) <= 18, sorted(f"{file.parent.name}/{file.name}" for file in files)


def test_every_part_of_the_house_is_counted() -> None:
    sizes = lines_by_part()

    assert {"contract", "identity", "routes", "serving", "video", "web"} <= sizes["api"].keys()
    assert {"base", "people", "credits", "calendar", "sessions", "video"} <= sizes["sql"].keys()
    assert {"develop", "lab", "local", "operate"} <= sizes["scripts"].keys()
    assert sizes["tests"]["house"] > len(Path(__file__).read_text().splitlines()) > 50
    assert [re.split(r"\s+", line)[0] for line in report()] == list(sizes)
