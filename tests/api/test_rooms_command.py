"""The operator's command for rooms, as a process: lists by default, repairs with --apply."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import actors
from tests.actors import Connection, Person, Row, approve, change, give_credits, propose
from tests.api.conftest import DAILY_KEY
from tests.operate.test_credits_command import NOBODY_THERE, Ended, Operator, said
from tests.servers import Server


@dataclass(frozen=True)
class Rooms:
    """The stand-in's rooms, without the code under test."""

    http: httpx.Client

    def make(self, name: str, **body: Any) -> None:
        """Make a room."""
        room = {"name": name, "privacy": "private", **body}
        self.http.post("/v1/rooms", json=room).raise_for_status()

    def state(self) -> dict[str, Any]:
        """Return the requests so far, and all rooms."""
        answer: dict[str, Any] = self.http.get("/control/requests").json()
        return answer

    def names(self) -> set[str]:
        """Return the names of the rooms."""
        return {room["name"] for room in self.state()["rooms"]}


@pytest.fixture
def rooms(daily: str) -> Iterator[Rooms]:
    """The stand-in, empty."""
    with httpx.Client(base_url=daily, headers={"Authorization": f"Bearer {DAILY_KEY}"}) as http:
        yield Rooms(http)


@pytest.fixture
def db(own_database: str) -> Iterator[Connection]:
    """A connection as the owner, whose changes stay."""
    with actors.connect(own_database) as connection:
        yield connection


@pytest.fixture
def operator(own_database: str, daily: str) -> Operator:
    """An operator of this test's own database, with the API's settings."""
    return Operator(
        own_database,
        SUPABASE_URL="http://supabase.test",
        SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
        DAILY_API_KEY=DAILY_KEY,
        DAILY_API_URL=f"{daily}/v1",
    )


@pytest.fixture
def sessions(db: Connection, therapist: Person, client: Person) -> list[Row]:
    """Three approved sessions."""
    give_credits(db, client, 3)
    starts = [f"2031-05-06T1{hour}:00Z" for hour in range(3)]
    proposed = [propose(db, therapist, client, p_start_time=start) for start in starts]
    return [approve(db, client, session) for session in proposed]


def reconcile(operator: Operator, *flags: str) -> Ended:
    """Run the command."""
    return operator.run("rooms", "reconcile", *flags)


def name_of(session: Row) -> str:
    """Return the name of a session's room."""
    return f"s-{session['id'].hex}"


def test_reconcile_lists_what_is_wrong_repairs_it_and_then_finds_nothing(
    operator: Operator, db: Connection, rooms: Rooms, sessions: list[Row]
) -> None:
    missing, wrong, cancelled = sessions
    rooms.make(name_of(wrong), properties={"exp": 4_000_000_000})
    rooms.make(name_of(cancelled))
    change(db, "sessions", cancelled["id"], status="cancelled")
    others = {"daily-standup", f"s-{uuid4().hex}"}
    for name in others:
        rooms.make(name)
    before = rooms.state()["rooms"]

    listing = reconcile(operator)

    assert rooms.state()["rooms"] == before
    assert said(listing, 1).splitlines() == [
        "4 private room(s) at the video provider.",
        f"1/3 {name_of(cancelled)} to delete",
        f"2/3 {name_of(missing)} to make",
        f"3/3 {name_of(wrong)} to mend",
        "Nothing was changed. --apply repairs them.",
    ]

    repaired = reconcile(operator, "--apply")

    assert said(repaired).splitlines()[1:] == [
        f"1/3 {name_of(cancelled)} deleted",
        f"2/3 {name_of(missing)} made",
        f"3/3 {name_of(wrong)} mended",
    ]
    assert rooms.names() == {name_of(missing), name_of(wrong), *others}
    for flags in ((), ("--apply",)):
        assert said(reconcile(operator, *flags)).splitlines() == [
            "4 private room(s) at the video provider.",
            "Nothing to do.",
        ]


def test_a_room_that_cannot_be_repaired_is_named_and_the_others_are_repaired(
    operator: Operator, rooms: Rooms, sessions: list[Row]
) -> None:
    taken, *missing = sessions
    rooms.make(name_of(taken), privacy="public")

    repaired = reconcile(operator, "--apply")

    assert repaired.returncode == 1
    lines = repaired.stdout.splitlines()
    belongs = "the room's name belongs to another room."
    assert [line for line in lines if line.endswith(belongs)] == [
        line for line in lines if name_of(taken) in line
    ]
    assert sum(line.endswith(" made") for line in lines) == len(missing)
    assert rooms.names() == {name_of(session) for session in sessions}


def test_deletions_keep_below_dailys_limit(
    operator: Operator, db: Connection, rooms: Rooms, sessions: list[Row]
) -> None:
    for session in sessions:
        rooms.make(name_of(session))
        change(db, "sessions", session["id"], status="cancelled")
    began = time.monotonic()

    said(reconcile(operator, "--apply"))

    assert rooms.names() == set()
    assert time.monotonic() - began >= 2 * 30 / 50


def test_a_provider_that_keeps_no_rooms_needs_no_repair(
    operator: Operator, sessions: list[Row]
) -> None:
    assert len(sessions) == 3
    operator.settings |= {
        "VIDEO_PROVIDER": "jitsi",
        "JITSI_URL": "https://meet.example.org",
        "JITSI_APP_SECRET": "x" * 32,
    }

    assert said(reconcile(operator)) == "This video provider keeps no rooms.\nNothing to do.\n"


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"DAILY_API_KEY": "wrong"}, "does not accept this installation's key"),
        ({"DAILY_API_KEY": ""}, "Video is off"),
        ({"DAILY_API_URL": "http://127.0.0.1:1"}, "did not answer"),
        ({"SUPABASE_URL": ""}, "SUPABASE_URL is missing"),
    ],
    ids=str,
)
def test_reconcile_says_why_it_cannot_look_and_changes_nothing(
    operator: Operator, rooms: Rooms, environment: dict[str, str], complaint: str
) -> None:
    rooms.make("s-" + "0" * 32)
    operator.settings |= environment

    ended = reconcile(operator, "--apply")

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
    assert DAILY_KEY not in ended.stdout + ended.stderr
    assert len(rooms.names()) == 1


def test_reconcile_says_that_the_product_is_not_installed(
    operator: Operator, server: Server
) -> None:
    for address, words in (
        (NOBODY_THERE, "The database does not answer: "),
        (server.address, "The product is not installed there"),
        ("", "DATABASE_URL"),
    ):
        operator.address = address
        ended = reconcile(operator)
        assert (ended.returncode, words in ended.stderr) == (2, True), ended


def test_help_needs_no_settings() -> None:
    for arguments in (("--help",), ("reconcile", "--help")):
        assert said(Operator("").run("rooms", *arguments)).startswith("Usage: ")
