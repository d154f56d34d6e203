"""Compare the video provider's rooms with the sessions, and repair what a crash left behind."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg
from dotenv import load_dotenv
from psycopg.rows import dict_row

from api.config import ConfigurationError, load_settings
from api.video import provider
from api.video.provider import RoomUnavailable, VideoProvider

# Daily allows some 20 requests a second, of which making a room takes up to three, and 50 deletions
# in 30 seconds; the API lives from the same allowance.
PAUSES = {"make": 0.3, "mend": 0.3, "delete": 0.7}
_DONE = {"make": "made", "mend": "mended", "delete": "deleted"}


def main(arguments: list[str] | None = None) -> int:
    """Reconcile: 0 when all is right or repaired, 1 when not, 2 when it cannot look."""
    load_dotenv()
    parser = argparse.ArgumentParser(prog="python -m scripts.operate.rooms", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="reconcile")
    reconcile = commands.add_parser(
        "reconcile",
        help="list the rooms that are missing, wrong or nobody's, and repair them with --apply",
        description="Lists what is wrong with the rooms, and changes nothing unless --apply is "
        "given. Only rooms of sessions that this database knows are touched. Exit status: 0 "
        "nothing to do, or all of it done; 1 something is left; 2 it could not look.",
    )
    reconcile.add_argument("--apply", action="store_true", help="make, mend and delete rooms")
    reconcile.add_argument("--database-url", default=os.environ.get("DATABASE_URL"))
    given = parser.parse_args(arguments)
    if not given.database_url:
        parser.error("name the database with --database-url or DATABASE_URL")
    try:
        rooms = provider(load_settings())
        repairs = _repairs(rooms, given.database_url)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
    except RoomUnavailable as unavailable:
        print(unavailable.reason, file=sys.stderr)
    except psycopg.OperationalError as error:
        print(f"The database does not answer: {error}", file=sys.stderr)
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
        print("The product is not installed there: make apply DATABASE_URL=...", file=sys.stderr)
    except psycopg.Error as error:
        print(f"The database cannot be read: {error}", file=sys.stderr)
    else:
        return _report(rooms, repairs, apply=given.apply)
    return 2


def _repairs(rooms: VideoProvider, address: str) -> list[dict[str, Any]]:
    """Ask SQL what to do. The rooms are read first: a session is there before its room is."""
    standing = rooms.standing()
    if standing is None:
        print("This video provider keeps no rooms.")
        return []
    print(f"{len(standing)} private room(s) at the video provider.", flush=True)
    with psycopg.connect(address, row_factory=dict_row, connect_timeout=10) as db:
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
        said = f"to {act}"
        if apply:
            try:
                acts[act](room)
                said = _DONE[act]
            except RoomUnavailable as unavailable:
                said = f"not {_DONE[act]}: {unavailable.reason}"
            time.sleep(PAUSES[act] if number < len(repairs) else 0)
        left += said != _DONE[act]
        print(f"{number}/{len(repairs)} {room['name']} {said}", flush=True)
    if not repairs:
        print("Nothing to do.")
    elif not apply:
        print("Nothing was changed. --apply repairs them.")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
