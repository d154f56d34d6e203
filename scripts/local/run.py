"""Run the whole product on this machine, until Ctrl-C."""

import argparse
import shutil
import signal
import sys
import time
from contextlib import suppress
from types import FrameType

import psycopg

from scripts.local import LOCAL, StackError
from scripts.local.stack import Stack
from scripts.operate.sweep import sweep

_SWEEP_SECONDS = 60.0


def main() -> int:
    """Start the stack, say where everything is, and wait."""
    parser = argparse.ArgumentParser(
        prog="make run",
        description=__doc__,
        epilog="Ports: PORT, POSTGREST_PORT and DAILY_PORT where set, else free ones.",
    )
    parser.add_argument("--reset", action="store_true", help="delete the local data and stop")
    arguments = parser.parse_args()
    folder = LOCAL / "run"
    if arguments.reset:
        return _reset(folder)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for stop in (signal.SIGTERM, signal.SIGINT):  # a shell starts its background jobs deaf to INT
        signal.signal(stop, interrupt)
    began = time.monotonic()
    print("Starting the local stack:", flush=True)

    def progress(part: str) -> None:
        print(f"  {time.monotonic() - began:5.1f} s  {part} ...", flush=True)

    try:
        with Stack(folder, progress) as stack:
            print(_summary(stack, time.monotonic() - began), flush=True)
            swept = time.monotonic()
            while (ended := stack.ended_part()) is None:
                time.sleep(0.5)
                if time.monotonic() - swept > _SWEEP_SECONDS:
                    with suppress(psycopg.OperationalError):  # the next look says what has ended
                        sweep(stack.database_url)
                    swept = time.monotonic()
            print(ended, file=sys.stderr)
            return 1
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; every process has ended.")
        return 0


def _reset(folder: object) -> int:
    from scripts.local.postgres import EmbeddedPostgres

    try:
        # Taking the data directory proves that nobody uses it.
        with EmbeddedPostgres(LOCAL / "run" / "postgres"):
            pass
    except StackError as error:
        if "in use" in str(error):
            print(f"{error}. Stop it with Ctrl-C first.", file=sys.stderr)
            return 1
    shutil.rmtree(str(folder), ignore_errors=True)
    print("The local data is gone; make run starts afresh.")
    return 0


def _summary(stack: Stack, seconds: float) -> str:
    with psycopg.connect(stack.database_url) as connection:
        people = connection.execute(
            "select p.email, case p.user_type when 'therapist' then 'therapist'"
            " else 'client, ' || session_approval.spendable_balance(p.id) || ' credit(s)' end"
            " from session_approval.people p where p.id::text like '00000000-%' order by p.id"
        ).fetchall()
    who = "\n".join(f"    {email:<18} {what}" for email, what in people)
    return f"""
Ready in {seconds:.1f} s. Open  {stack.api_url}/sign-in

  People (choose one on that page, or: make token EMAIL=ada@example.org)
{who}

  Screens    {stack.api_url}/therapist/dashboard/create-session
             {stack.api_url}/therapist/dashboard/client-sessions
             {stack.api_url}/dashboard/therapy
             {stack.api_url}/ui/demo, therapist and client side by side
  API        {stack.api_url}/api
  PostgREST  {stack.rest_url}
  Video      {stack.daily_url}
  Postgres   psql "{stack.database_url}"
  Logs       {stack.folder}

Ctrl-C ends it; make reset starts afresh."""


if __name__ == "__main__":
    sys.exit(main())
