"""Run the whole product on this machine, until Ctrl-C."""

import signal
import sys
import time
from contextlib import suppress
from types import FrameType

import click
import psycopg

from scripts import CommandError
from scripts.local import LOCAL
from scripts.local.stack import Stack
from scripts.operate.sweep import sweep

_SWEEP_SECONDS = 60.0


@click.command(
    help=__doc__,
    epilog="Ports: PORT, POSTGREST_PORT and DAILY_PORT where they are set, else free ones.",
)
def main() -> int:
    """Start the stack, say where everything is, and wait."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for stop in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs ignore SIGINT
        signal.signal(stop, interrupt)
    began = time.monotonic()
    print("Starting the local stack:", flush=True)

    def progress(part: str) -> None:
        print(f"  {time.monotonic() - began:5.1f} s  {part} ...", flush=True)

    try:
        with Stack(LOCAL / "run", progress) as stack:
            print(_summary(stack, time.monotonic() - began), flush=True)
            print(_wait(stack), file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        print("\nStopped; every process has ended.")
        return 0


def _wait(stack: Stack) -> str:
    """Sweep every minute, until a part of the stack stops by itself; say which one."""
    swept = time.monotonic()
    while (ended := stack.ended_part()) is None:
        time.sleep(0.5)
        if time.monotonic() - swept > _SWEEP_SECONDS:
            with suppress(CommandError):  # where a part has ended, the next look says so
                sweep(stack.database_url)
            swept = time.monotonic()
    return ended


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
