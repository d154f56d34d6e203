"""Examine a database and what is around it, without changing anything; say what to do."""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict

import click
import psycopg

from scripts.operate import connection
from scripts.operate.connection import Connection
from scripts.operate.doctor import database, environment
from scripts.operate.doctor.finding import Finding


@click.command(
    help=__doc__,
    epilog="Exit status: 0 no finding is an error, 1 one is, 2 the database could not be examined.",
)
@connection.argument
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def main(database_url: str, as_json: bool) -> int:
    """Print the settings and every finding."""
    logging.disable(logging.WARNING)  # what the API would log here, the findings say
    settings, findings = examine(database_url)
    if as_json:
        print(json.dumps({"settings": settings, "findings": [asdict(f) for f in findings]}))
    else:
        print("Settings (session_approval.settings):")
        for name, value in settings.items():
            print(f"  {name:<20} {value}")
        for finding in findings:
            print(f"{finding.level.upper():<8} {finding.what}")
            for label, text in (("why", finding.why), ("do", finding.do)):
                if text:
                    print(f"         {label}: {text}")
    return 1 if any(finding.level == "error" for finding in findings) else 0


def examine(address: str) -> tuple[dict[str, object], list[Finding]]:
    """Return the settings and every finding, read in one read-only transaction's snapshot."""
    with connection.connected(address) as db:
        db.read_only = True
        db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        db.execute("set local search_path = ''")  # so that Postgres prints every name in full
        settings = db.execute(
            "select to_jsonb(s) - 'only_row' as row from session_approval.settings s"
        ).fetchone()
        findings = []
        if settings is None:
            findings.append(
                Finding(
                    "error",
                    "session_approval.settings has no row",
                    "every function reads its policy there, and none works without it",
                    "insert into session_approval.settings default values",
                )
            )
        for part in (database.look, _row_security, _unanswered, _calendar, _credits):
            findings.extend(part(db))
        row = settings["row"] if settings else {}
        findings.extend(environment.look(db, row))
        return row, findings


def _row_security(db: Connection) -> Iterator[Finding]:
    """Say where row level security is on, and what it means where it is off."""
    for row in db.execute(
        "select c.relname, c.relrowsecurity from pg_catalog.pg_class c"
        " where c.oid in ('public.sessions'::regclass, 'public.user_credits'::regclass)"
        " order by c.relname"
    ):
        table = f"public.{row['relname']}"
        if row["relrowsecurity"]:
            yield Finding("ok", f"{table}: row level security is on")
        else:
            yield Finding(
                "warning",
                f"{table}: row level security is off",
                "who may select from it reads everybody's rows; the guards against writing hold",
                f"alter table {table} enable row level security; then make apply again",
            )


def _unanswered(db: Connection) -> Iterator[Finding]:
    """Find proposals that expired and were not put away."""
    waiting = db.execute(
        "select count(*) as n from public.sessions s where s.status = 'pending_approval'"
        " and s.approval_expires_at < now() - interval '1 hour'"
    ).fetchone()
    if waiting and waiting["n"]:
        yield Finding(
            "warning",
            f"{waiting['n']} unanswered proposal(s) expired over an hour ago",
            "they already read as cancelled; the stored status follows with the sweep",
            "select * from sweep_sessions(), every minute",
        )


def _calendar(db: Connection) -> Iterator[Finding]:
    """Find future sessions that hold one person at the same time."""
    pairs = db.execute(
        "select b.person_id, b.session_id, b.other_session_id, b.during::text as during"
        " from session_approval.double_bookings b order by b.during, b.person_id limit 20"
    ).fetchall()
    for pair in pairs:
        yield Finding(
            "warning",
            f"{pair['person_id']} is booked twice, {pair['during']}: sessions"
            f" {pair['session_id']} and {pair['other_session_id']}",
            "one of the two will wait in vain; they were there before the install, or were written"
            " without the functions",
            "ask the people; one of them cancels one of the two",
        )
    if not pairs:
        yield Finding("ok", "calendar: nobody is booked twice")


def _credits(db: Connection) -> Iterator[Finding]:
    """Find what does not add up between lots, ledger and sessions."""
    problems = db.execute("select * from public.reconcile_credits()").fetchall()
    for row in problems:
        whose = [
            f"{name} {row[column]}"
            for name, column in (
                ("lot", "lot_id"),
                ("session", "session_id"),
                ("client", "user_id"),
            )
            if row[column] is not None
        ]
        yield Finding(
            "error",
            f"{row['problem']}: expected {row['expected']}, found {row['found']}; "
            + ", ".join(whose),
            "credits are money that somebody paid",
            f"python -m scripts credits history {row['user_id']} shows what happened; "
            "python -m scripts credits adjust corrects a lot",
        )
    if not problems:
        yield Finding("ok", "credits: lots, ledger and sessions add up")
