"""Compare the video provider's rooms with the sessions, and repair what a crash left behind."""

import json
import time
from collections.abc import Callable
from typing import Any

import click

from api.config import ConfigurationError, load_settings
from api.video import provider
from api.video.provider import RoomUnavailable, VideoProvider
from scripts.operate import connection
from scripts.operate.connection import NoAnswer

# Daily allows some 20 requests a second, of which making a room takes up to three, and 50 deletions
# in 30 seconds; the API lives from the same allowance.
PAUSES = {"make": 0.3, "mend": 0.3, "delete": 0.7}
_DONE = {"make": "made", "mend": "mended", "delete": "deleted"}


@click.group(help=__doc__)
def main() -> None:
    """Hold the commands about rooms."""


@main.command(
    epilog="Exit status: 0 nothing to do, or all of it done; 1 something is left; 2 it could not"
    " look."
)
@click.option("--apply", is_flag=True, help="Make, mend and delete rooms.")
@connection.option
def reconcile(apply: bool, database_url: str) -> int:
    """List the rooms that are missing, wrong or left over, and repair them with --apply.

    Without --apply it changes nothing. It touches only rooms of sessions that this database knows.
    """
    connection.require(database_url)
    try:
        rooms = provider(load_settings())
        repairs = _repairs(rooms, database_url)
    except ConfigurationError as error:
        raise NoAnswer(str(error)) from None
    except RoomUnavailable as unavailable:
        raise NoAnswer(unavailable.reason) from None
    return _report(rooms, repairs, apply=apply)


def _repairs(rooms: VideoProvider, address: str) -> list[dict[str, Any]]:
    """Ask SQL what to do. The rooms are read first: a session is there before its room is."""
    standing = rooms.standing()
    if standing is None:
        print("This video provider keeps no rooms.")
        return []
    print(f"{len(standing)} private room(s) at the video provider.", flush=True)
    with connection.connected(address) as db:
        db.read_only = True
        return db.execute(
            "select act, room from session_approval.rooms_to_repair(%s) order by act, room",
            (json.dumps(standing),),
        ).fetchall()


def _report(rooms: VideoProvider, repairs: list[dict[str, Any]], *, apply: bool) -> int:
    acts: dict[str, Callable[[dict[str, Any]], object]] = {
        "make": rooms.ensure,
        "mend": rooms.ensure,
        "delete": lambda room: rooms.delete(room["name"]),
    }
    left = 0
    for number, repair in enumerate(repairs, 1):
        act, room = repair["act"], repair["room"]
        outcome = f"to {act}"
        if apply:
            try:
                acts[act](room)
                outcome = _DONE[act]
            except RoomUnavailable as unavailable:
                outcome = f"not {_DONE[act]}: {unavailable.reason}"
            time.sleep(PAUSES[act] if number < len(repairs) else 0)
        left += outcome != _DONE[act]
        print(f"{number}/{len(repairs)} {room['name']} {outcome}", flush=True)
    if not repairs:
        print("Nothing to do.")
    elif not apply:
        print("Nothing was changed. --apply repairs them.")
    return 1 if left else 0
