"""Look a database and what is around it over, changing nothing; each finding says what to do."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict

import psycopg
from dotenv import load_dotenv
from psycopg.rows import dict_row

from scripts.operate.doctor import database, environment
from scripts.operate.doctor.finding import Database, Finding


def examine(address: str) -> tuple[dict[str, object], list[Finding]]:
    """Return the settings and every finding, read in one read-only transaction's snapshot."""
    with psycopg.connect(address, row_factory=dict_row, connect_timeout=10) as db:
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


def _row_security(db: Database) -> Iterator[Finding]:
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
                "whoever may select from it reads everybody's rows; the guards against "
                "writing hold all the same",
                f"alter table {table} enable row level security; then make apply again",
            )


def _unanswered(db: Database) -> Iterator[Finding]:
    """Find proposals that ran out and were not put away."""
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


def _calendar(db: Database) -> Iterator[Finding]:
    """Find sessions to come that hold one person at one time."""
    pairs = db.execute(
        "select b.person_id, b.session_id, b.other_session_id, b.during::text as during"
        " from session_approval.double_bookings b order by b.during, b.person_id limit 20"
    ).fetchall()
    for pair in pairs:
        yield Finding(
            "warning",
            f"{pair['person_id']} is booked twice, {pair['during']}: sessions"
            f" {pair['session_id']} and {pair['other_session_id']}",
            "one of the two will wait in vain; they were there before, or came past the functions",
            "ask the people; one of them cancels one of the two",
        )
    if not pairs:
        yield Finding("ok", "calendar: nobody is booked twice")


def _credits(db: Database) -> Iterator[Finding]:
    """Find whatever does not add up between lots, ledger and sessions."""
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
            f"python -m scripts.operate.credits history {row['user_id']} shows what happened; "
            "adjust corrects a lot",
        )
    if not problems:
        yield Finding("ok", "credits: lots, ledger and sessions add up")


def main() -> int:
    """Print what was found; 0 when nothing is an error, 1 otherwise, 2 when it cannot look."""
    load_dotenv()
    logging.disable(logging.WARNING)  # what the API would log here, the findings say
    parser = argparse.ArgumentParser(
        prog="make doctor DATABASE_URL=postgresql://...", description=__doc__
    )
    parser.add_argument("database_url", nargs="?", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args()
    if not given.database_url:
        parser.error("name the database: make doctor DATABASE_URL=postgresql://...")
    try:
        settings, findings = examine(given.database_url)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction):
        print("The product is not installed there: make apply DATABASE_URL=...", file=sys.stderr)
        return 2
    except psycopg.OperationalError as error:
        print(f"The database does not answer: {error}", file=sys.stderr)
        return 2
    except psycopg.Error as error:
        print(f"The database cannot be looked over: {error}", file=sys.stderr)
        return 2
    if given.json:
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


if __name__ == "__main__":
    sys.exit(main())
