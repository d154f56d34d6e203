"""Grant, correct and look at clients' credits, as an operator."""

import argparse
import os
import sys
from datetime import datetime
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from dotenv import load_dotenv
from psycopg.rows import dict_row

Connection = psycopg.Connection[dict[str, Any]]


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; 0 done, 1 refused or not confirmed, 2 wrong arguments."""
    load_dotenv()
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.database_url:
        parser.error("name the database with --database-url or DATABASE_URL")
    try:
        # Autocommit: each command is one statement, and no transaction waits for somebody's yes.
        with psycopg.connect(
            given.database_url, autocommit=True, row_factory=dict_row, connect_timeout=10
        ) as db:
            return int(given.command(db, given))
    except psycopg.OperationalError as error:
        print(f"The database does not answer: {error}", file=sys.stderr)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction):
        print("The product is not installed there: make apply DATABASE_URL=...", file=sys.stderr)
    except psycopg.Error as error:
        print(f"Refused: {error.diag.message_primary}", file=sys.stderr)
        if error.diag.message_detail not in (None, "null"):
            print(f"  {error.diag.message_detail}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.operate.credits", description=__doc__)
    parser.add_argument("--database-url", default=os.environ.get("DATABASE_URL"))
    commands = parser.add_subparsers(required=True, metavar="grant|adjust|show|history")

    grant = commands.add_parser("grant", help="add credits that were bought or given")
    grant.add_argument("person", help="email address, or id")
    grant.add_argument("amount", type=int, help="credits")
    grant.add_argument("--source", default="operator", help="who paid (default: %(default)s)")
    grant.add_argument(
        "--reference",
        help="the payment's id: one reference is one grant, however often it is sent "
        "(default: a new one)",
    )
    grant.add_argument(
        "--expires-at",
        type=_moment,
        help="ISO 8601 with offset, 2027-06-30T00:00Z (default: never)",
    )
    grant.add_argument("--reason")
    grant.add_argument("--yes", action="store_true", help="do not ask")
    grant.set_defaults(command=_grant)

    adjust = commands.add_parser("adjust", help="correct one lot's balance (show lists the lots)")
    adjust.add_argument("lot", help="the lot's id")
    adjust.add_argument("delta", type=int, help="credits to add, or to take when negative")
    adjust.add_argument("--reason", required=True)
    adjust.add_argument("--actor", required=True, help="email or id of who answers for it")
    adjust.add_argument("--yes", action="store_true", help="do not ask")
    adjust.set_defaults(command=_adjust)

    show = commands.add_parser("show", help="a client's lots and what can be spent now")
    show.add_argument("person", help="email address, or id")
    show.set_defaults(command=_show)

    history = commands.add_parser(
        "history", help="every change of a client's credits, latest first"
    )
    history.add_argument("person", help="email address, or id")
    history.add_argument("--limit", type=int, default=50, help="rows (default: %(default)s)")
    history.set_defaults(command=_history)
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment in ISO 8601") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no offset: add Z, or +02:00")
    return moment


def _grant(db: Connection, given: argparse.Namespace) -> int:
    person = _person(db, given.person)
    until = f"until {given.expires_at}" if given.expires_at else "without an end"
    if not _confirmed(given, f"Grant {given.amount} credit(s) to {_name(person)}, {until}?"):
        return 1
    reference = given.reference or str(uuid4())
    row = _one(
        db,
        "select * from public.grant_credits(%s, %s, %s, %s, %s, %s)",
        (person["id"], given.amount, given.source, reference, given.expires_at, given.reason),
    )
    said = "Already granted" if row["already_granted"] else "Granted"
    print(f"{said}: {row['credits_granted']} credit(s) in lot {row['lot_id']}.")
    print(f"Source {given.source}, reference {reference}.")
    print(f"{_name(person)} can spend {row['credits_balance']}.")
    return 0


def _adjust(db: Connection, given: argparse.Namespace) -> int:
    actor = _person(db, given.actor)
    if not _confirmed(given, f"Change lot {given.lot} by {given.delta:+d} credit(s)?"):
        return 1
    row = _one(
        db,
        "select * from public.adjust_credits(%s, %s, %s, %s)",
        (given.lot, given.delta, given.reason, actor["id"]),
    )
    print(f"Adjusted: lot {row['lot_id']} has {row['credits_balance']} credit(s).")
    return 0


def _show(db: Connection, given: argparse.Namespace) -> int:
    person = _person(db, given.person)
    rows = db.execute(
        "select l.id as lot, l.credits_balance as credits, l.expires_at, l.created_at,"
        " case when spendable.id is not null then 'yes' else 'no' end as can_pay"
        " from public.user_credits l"
        " left join session_approval.spendable_lots spendable on spendable.id = l.id"
        " where l.user_id = %s order by l.expires_at nulls last, l.created_at, l.id",
        (person["id"],),
    ).fetchall()
    _table(rows)
    row = _one(db, "select session_approval.spendable_balance(%s) as credits", (person["id"],))
    print(f"{_name(person)} can spend {row['credits']}.")
    return 0


def _history(db: Connection, given: argparse.Namespace) -> int:
    person = _person(db, given.person)
    rows = db.execute(
        "select e.created_at, e.kind, e.delta, e.balance_after, e.lot_id as lot, e.session_id,"
        " e.actor_id, e.source, e.reference, e.reason"
        " from session_approval.credit_ledger e where e.user_id = %s order by e.id desc limit %s",
        (person["id"], given.limit),
    ).fetchall()
    _table(rows)
    return 0


def _person(db: Connection, who: str) -> dict[str, Any]:
    """Find somebody by email, whatever its case, or by id; credits never go to a guess."""
    rows = db.execute(
        "select p.id, p.full_name, p.email from session_approval.people p"
        " where lower(p.email) = lower(%(who)s) or p.id::text = lower(%(who)s)",
        {"who": who},
    ).fetchall()
    if len(rows) > 1:
        ids = ", ".join(str(row["id"]) for row in rows)
        raise SystemExit(f"Several people have the address {who}; name one by id: {ids}")
    if not rows:
        raise SystemExit(f"Nobody has the address or id {who}")
    return rows[0]


def _name(person: dict[str, Any]) -> str:
    return f"{person['full_name'] or 'somebody'} <{person['email'] or person['id']}>"


def _one(db: Connection, query: LiteralString, parameters: tuple[object, ...]) -> dict[str, Any]:
    """Return the row of a query that answers with exactly one."""
    [row] = db.execute(query, parameters).fetchall()
    return row


def _confirmed(given: argparse.Namespace, question: str) -> bool:
    if given.yes:
        return True
    try:
        answer = input(f"{question} [y/N] ")
    except (EOFError, KeyboardInterrupt):
        print()
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        print("Nothing was changed. --yes skips this question.")
        return False
    return True


def _table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print("(none)")
        return
    cells = [[str(name) for name in rows[0]]]
    cells += [["" if value is None else str(value) for value in row.values()] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    for line in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


if __name__ == "__main__":
    sys.exit(main())
