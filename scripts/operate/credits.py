"""Grant, correct and look at clients' credits, as an operator."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, LiteralString
from uuid import uuid4

import click

from scripts import CommandError
from scripts.operate import connection
from scripts.operate.connection import Connection

_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(
    help=f"{__doc__} PERSON is an email address or an id; show lists the lots.",
    epilog="Exit status: 0 done, 1 refused or not confirmed, 2 wrong arguments.",
)
@connection.option
@click.pass_context
def main(context: click.Context, database_url: str) -> None:
    """Pass the address on to the command that follows."""
    context.obj = database_url


def _moment(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no moment in ISO 8601") from None
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no offset: add Z, or +02:00")
    return moment


@main.command()
@click.argument("person")
@click.argument("amount", type=int)
@click.option("--source", default="operator", show_default=True, help="Who paid.")
@click.option(
    "--reference",
    help="The payment's id: one reference is one grant, however often it is sent."
    "  [default: a new one]",
)
@click.option(
    "--expires-at",
    callback=_moment,
    metavar="MOMENT",
    help="ISO 8601 with offset, 2027-06-30T00:00Z.  [default: never]",
)
@click.option("--reason")
@_yes
@click.pass_obj
def grant(
    address: str,
    person: str,
    amount: int,
    source: str,
    reference: str | None,
    expires_at: datetime | None,
    reason: str | None,
    yes: bool,
) -> int:
    """Add credits that were bought or given."""
    with _database(address) as db:
        client = _person(db, person)
        until = f"until {expires_at}" if expires_at else "without an end"
        if not (yes or _confirmed(f"Grant {amount} credit(s) to {_name(client)}, {until}?")):
            return 1
        reference = reference or str(uuid4())
        row = _one(
            db,
            "select * from public.grant_credits(%s, %s, %s, %s, %s, %s)",
            (client["id"], amount, source, reference, expires_at, reason),
        )
    done = "Already granted" if row["already_granted"] else "Granted"
    print(f"{done}: {row['credits_granted']} credit(s) in lot {row['lot_id']}.")
    print(f"Source {source}, reference {reference}.")
    print(f"{_name(client)} can spend {row['credits_balance']}.")
    return 0


# A delta may begin with a minus, which is else the sign of an option.
@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("lot")
@click.argument("delta", type=int)
@click.option("--reason", required=True)
@click.option("--actor", required=True, help="Email or id of the person who answers for it.")
@_yes
@click.pass_obj
def adjust(address: str, lot: str, delta: int, reason: str, actor: str, yes: bool) -> int:
    """Correct one lot's balance by DELTA credits, which are taken where it is negative."""
    with _database(address) as db:
        responsible = _person(db, actor)
        if not (yes or _confirmed(f"Change lot {lot} by {delta:+d} credit(s)?")):
            return 1
        row = _one(
            db,
            "select * from public.adjust_credits(%s, %s, %s, %s)",
            (lot, delta, reason, responsible["id"]),
        )
    print(f"Adjusted: lot {row['lot_id']} has {row['credits_balance']} credit(s).")
    return 0


@main.command()
@click.argument("person")
@click.pass_obj
def show(address: str, person: str) -> None:
    """List a client's lots and what can be spent now."""
    with _database(address) as db:
        client = _person(db, person)
        lots = db.execute(
            "select l.id as lot, l.credits_balance as credits, l.expires_at, l.created_at,"
            " case when spendable.id is not null then 'yes' else 'no' end as can_pay"
            " from public.user_credits l"
            " left join session_approval.spendable_lots spendable on spendable.id = l.id"
            " where l.user_id = %s order by l.expires_at nulls last, l.created_at, l.id",
            (client["id"],),
        ).fetchall()
        row = _one(db, "select session_approval.spendable_balance(%s) as credits", (client["id"],))
    _table(lots)
    print(f"{_name(client)} can spend {row['credits']}.")


@main.command()
@click.argument("person")
@click.option("--limit", type=int, default=50, show_default=True, help="Rows.")
@click.pass_obj
def history(address: str, person: str, limit: int) -> None:
    """List every change of a client's credits, latest first."""
    with _database(address) as db:
        client = _person(db, person)
        entries = db.execute(
            "select e.created_at, e.kind, e.delta, e.balance_after, e.lot_id as lot, e.session_id,"
            " e.actor_id, e.source, e.reference, e.reason"
            " from session_approval.credit_ledger e where e.user_id = %s"
            " order by e.id desc limit %s",
            (client["id"], limit),
        ).fetchall()
    _table(entries)


def _database(address: str) -> AbstractContextManager[Connection]:
    """Connect. Each command is one statement, so no transaction waits for an answer at a prompt."""
    return connection.connected(address, CommandError, autocommit=True)


def _person(db: Connection, who: str) -> dict[str, Any]:
    """Find one person by email, whatever its case, or by id; credits never go to a guess."""
    rows = db.execute(
        "select p.id, p.full_name, p.email from session_approval.people p"
        " where lower(p.email) = lower(%(who)s) or p.id::text = lower(%(who)s)",
        {"who": who},
    ).fetchall()
    if len(rows) > 1:
        ids = ", ".join(str(row["id"]) for row in rows)
        raise CommandError(f"Several people have the address {who}; name one by id: {ids}")
    if not rows:
        raise CommandError(f"Nobody has the address or id {who}")
    return rows[0]


def _name(person: dict[str, Any]) -> str:
    return f"{person['full_name'] or 'somebody'} <{person['email'] or person['id']}>"


def _one(db: Connection, query: LiteralString, parameters: tuple[object, ...]) -> dict[str, Any]:
    """Return the row of a query that answers with exactly one."""
    [row] = db.execute(query, parameters).fetchall()
    return row


def _confirmed(question: str) -> bool:
    try:
        answer = click.confirm(question)
    except click.Abort:  # Ctrl-C, or no answer at all
        print()
        answer = False
    if not answer:
        print("Nothing was changed. --yes skips this question.")
    return answer


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
