"""The operator's commands, as an operator runs them: credits and doctor."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

import pytest

from tests import actors, programs
from tests.actors import Connection, Person, add_person, approve, balances, give_credits, propose
from tests.servers import Server

NOBODY_THERE = "postgresql://postgres@127.0.0.1:1/nowhere"


class Ended(Protocol):
    """What a command left: its exit status and what it said."""

    returncode: int
    stdout: str
    stderr: str


class Operator:
    """Somebody at a prompt, with a database at hand."""

    def __init__(self, address: str, **settings: str) -> None:
        """Name the database that DATABASE_URL says, and the settings beside it."""
        self.address = address
        self.settings = settings

    def run(self, command: str, *arguments: object, answers: str = "") -> Ended:
        """Run a command and type the answers."""
        settings = {"DATABASE_URL": self.address, **self.settings}
        return programs.run(command, *arguments, env=settings, said=answers, timeout=60)

    def credits(self, *arguments: object, answers: str = "") -> Ended:
        """Run the command for credits."""
        return self.run("credits", *arguments, answers=answers)

    def doctor(self) -> tuple[int, dict[str, Any]]:
        """Look the database over; return the exit status and what a program would read."""
        ended = self.run("doctor", "--json")
        assert ended.stderr == ""
        found: dict[str, Any] = json.loads(ended.stdout)
        return ended.returncode, found


@pytest.fixture
def db(own_database: str) -> Iterator[Connection]:
    """A connection as the owner, whose changes stay."""
    with actors.connect(own_database) as connection:
        yield connection


@pytest.fixture
def operator(own_database: str) -> Operator:
    """An operator of this test's own database."""
    return Operator(own_database)


def said(ended: Ended, status: int = 0) -> str:
    """Return what a command said: on one stream only, stderr when it did not do its work."""
    assert ended.returncode == status, ended
    if ended.stderr:
        assert (status != 0, ended.stdout) == (True, ""), ended
    return ended.stdout + ended.stderr


# Grants.


def test_a_grant_reports_its_result_and_a_repeated_reference_grants_nothing(
    operator: Operator, db: Connection, client: Person
) -> None:
    grant = ("grant", client.email, 5, "--source", "invoices", "--reference", "2027-001", "--yes")

    first, again = operator.credits(*grant), operator.credits(*grant)

    [entry] = actors.ledger(db, client)
    assert said(first).splitlines() == [
        f"Granted: 5 credit(s) in lot {entry['lot_id']}.",
        "Source invoices, reference 2027-001.",
        f"{client.full_name} <{client.email}> can spend 5.",
    ]
    assert said(again) == said(first).replace("Granted", "Already granted")
    assert balances(db, client) == [5]
    assert (entry["kind"], entry["source"], entry["reference"]) == (
        "grant",
        "invoices",
        "2027-001",
    )


def test_a_reference_that_was_used_for_another_grant_is_refused(
    operator: Operator, db: Connection, client: Person
) -> None:
    operator.credits("grant", client.email, 5, "--reference", "gift", "--yes")

    refused = operator.credits("grant", client.email, 6, "--reference", "gift", "--yes")

    assert said(refused, 1) == "Refused: This reference was used for another grant\n"
    assert balances(db, client) == [5]


def test_a_grant_keeps_its_end_and_its_reason_and_finds_a_person_by_id_or_by_any_case(
    operator: Operator, db: Connection, client: Person
) -> None:
    end = ("--expires-at", "2087-06-30T00:00+02:00", "--reason", "Sorry!", "--yes")

    said(operator.credits("grant", client.email.upper(), 1, *end))
    said(operator.credits("grant", client.id, 2, "--yes"))

    first, second = actors.ledger(db, client)
    lot = actors.row(db, "user_credits", first["lot_id"])
    assert lot["expires_at"] == datetime(2087, 6, 29, 22, tzinfo=UTC)
    assert first["reason"] == "Sorry!"
    assert (second["delta"], second["source"]) == (2, "operator")
    assert first["reference"] != second["reference"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["0"], "Refused: The grant is not valid\n  {'amount': 'must be 1 to 100000 credits'}\n"),
        (["five"], "'five' is not a valid integer"),
        (["5", "--expires-at", "2087-06-30T00:00"], "has no offset: add Z, or +02:00"),
        (["5", "--expires-at", "soon"], "'soon' is no moment in ISO 8601"),
        (["5", "--expires-at", "2000-01-01T00:00Z"], "must be in the future"),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused_with_a_message(
    operator: Operator, db: Connection, client: Person, arguments: list[str], complaint: str
) -> None:
    refused = operator.credits("grant", client.email, *arguments, "--yes")

    assert refused.returncode in (1, 2)
    assert complaint in refused.stderr.replace('"', "'")
    assert balances(db, client) == []


def test_an_unknown_or_ambiguous_person_is_refused(
    operator: Operator, db: Connection, client: Person
) -> None:
    db.execute("alter table public.users drop constraint users_email_key")
    twin = add_person(db, "individual")
    actors.change(db, "users", twin.id, email=client.email)

    unknown = operator.credits("grant", "nobody@example.org", 5, "--yes")
    doubtful = operator.credits("grant", client.email, 5, "--yes")

    assert said(unknown, 1) == "Nobody has the address or id nobody@example.org\n"
    assert said(doubtful, 1).startswith(f"Several people have the address {client.email}; name one")
    assert actors.ledger(db, client) == actors.ledger(db, twin) == []


# Confirmation.


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yeah, but no\n"])
def test_a_grant_without_a_yes_changes_nothing(
    operator: Operator, db: Connection, client: Person, answer: str
) -> None:
    ended = operator.credits("grant", client.email, 5, answers=answer)

    words = said(ended, 1)
    assert f"Grant 5 credit(s) to {client.full_name} <{client.email}>, without an end?" in words
    assert words.endswith("Nothing was changed. --yes skips this question.\n")
    assert balances(db, client) == []


def test_a_yes_to_the_question_grants_the_credits(
    operator: Operator, db: Connection, client: Person
) -> None:
    said(operator.credits("grant", client.email, 5, answers="y\n"))

    assert balances(db, client) == [5]


# Corrections, and looking.


def test_a_correction_changes_one_lot_and_records_its_reason_and_its_actor(
    operator: Operator, db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    correction = ("--reason", "Counted twice", "--actor", therapist.email)

    adjusted = operator.credits("adjust", lot, -2, *correction, "--yes")
    asked = operator.credits("adjust", lot, "+1", *correction)
    too_far = operator.credits("adjust", lot, -2, *correction, "--yes")

    assert said(adjusted) == f"Adjusted: lot {lot} has 1 credit(s).\n"
    assert f"Change lot {lot} by +1 credit(s)?" in said(asked, 1)
    assert said(too_far, 1) == (
        'Refused: The lot does not have that many credits\n  {"credits_balance": 1}\n'
    )
    assert balances(db, client) == [1]
    entry = actors.ledger(db, client)[-1]
    assert (entry["delta"], entry["reason"], entry["actor_id"]) == (
        -2,
        "Counted twice",
        therapist.id,
    )


def test_a_correction_with_an_unknown_lot_or_actor_is_refused(
    operator: Operator, client: Person
) -> None:
    by_nobody = operator.credits("adjust", uuid4(), 1, "--reason", "x", "--actor", "me", "--yes")
    of_none = operator.credits(
        *("adjust", uuid4(), 1, "--reason", "x", "--actor", client.email, "--yes")
    )

    assert said(by_nobody, 1) == "Nobody has the address or id me\n"
    assert said(of_none, 1) == "Refused: There is no such lot\n"


def test_show_lists_the_lots_and_history_lists_every_change(
    operator: Operator, db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 2)
    gone = give_credits(db, client, 1, expires_at="yesterday")
    session = propose(db, therapist, client)
    approve(db, client, session)

    shown = said(operator.credits("show", client.email)).splitlines()
    history = said(operator.credits("history", client.email)).splitlines()
    latest = said(operator.credits("history", client.email, "--limit", 1)).splitlines()
    nothing = said(operator.credits("history", therapist.email))

    assert [line.split()[0] for line in shown[:3]] == ["lot", str(gone), str(lot)]
    assert [line.split()[-1] for line in shown[:3]] == ["can_pay", "no", "yes"]
    assert shown[3] == f"{client.full_name} <{client.email}> can spend 1."
    assert len(history) == 4
    assert "approval" in history[1]
    assert str(session["id"]) in history[1]
    assert len(latest) == 2
    assert latest[1].split() == history[1].split()
    assert nothing == "(none)\n"


# Where nothing can be done.


@pytest.mark.parametrize("module", ["credits", "doctor"])
def test_help_needs_no_database(module: str) -> None:
    words = said(Operator("").run(module, "--help"))

    assert words.startswith(f"Usage: python -m scripts {module} ")


def test_every_command_has_help() -> None:
    for command in ("grant", "adjust", "show", "history"):
        words = said(Operator("").credits(command, "--help"))
        assert words.startswith(f"Usage: python -m scripts credits {command} ")


def test_the_commands_ask_for_a_database_if_none_is_named() -> None:
    operator = Operator("")

    assert "DATABASE_URL" in said(operator.credits("show", "a@example.org"), 2)
    assert "DATABASE_URL" in said(operator.run("doctor"), 2)


def test_a_database_that_does_not_answer_is_reported_in_one_sentence() -> None:
    operator = Operator(NOBODY_THERE)

    for ended, status in ((operator.credits("show", "a@b.c"), 1), (operator.run("doctor"), 2)):
        assert said(ended, status).startswith("The database does not answer: ")
        assert "Traceback" not in ended.stderr


def test_a_database_without_the_product_is_reported(server: Server) -> None:
    operator = Operator(server.address)

    for ended, status in ((operator.credits("show", "a@b.c"), 1), (operator.run("doctor"), 2)):
        assert said(ended, status).startswith("The product is not installed there: make apply")


# Doctor.


def test_the_doctor_shows_the_settings_of_a_healthy_database_without_complaint(
    operator: Operator,
) -> None:
    status, found = operator.doctor()

    assert status == 0
    assert found["settings"]["pending_ttl"] == "72:00:00"
    assert [finding["level"] for finding in found["findings"]] == ["ok"] * 7
    words = said(operator.run("doctor"))
    assert "  refund_grace         30 days" in words
    assert "OK       credits: lots, ledger and sessions add up" in words


def test_credits_that_do_not_add_up_are_an_error(
    operator: Operator, db: Connection, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    db.execute("alter table public.user_credits disable trigger user")
    actors.change(db, "user_credits", lot, credits_balance=5)
    db.execute("alter table public.user_credits enable trigger user")

    status, found = operator.doctor()

    assert status == 1
    [error] = [finding for finding in found["findings"] if finding["level"] == "error"]
    assert error["what"] == (
        f"a balance differs from its ledger: expected 3, found 5; lot {lot}, client {client.id}"
    )
    words = said(operator.run("doctor"), 1)
    assert f"ERROR    {error['what']}\n         why: " in words


def test_row_security_that_is_off_and_a_sweep_that_does_not_run_are_warnings(
    operator: Operator, db: Connection, therapist: Person, client: Person
) -> None:
    db.execute("alter table public.user_credits disable row level security")
    for overdue in ("61 minutes", "59 minutes"):
        session = propose(db, therapist, client)
        moment = db.execute("select now() - %s::interval as at", (overdue,)).fetchall()[0]["at"]
        actors.change(db, "sessions", session["id"], approval_expires_at=moment)
    before = actors.contents(db)

    status, found = operator.doctor()

    assert status == 0
    assert [f["what"] for f in found["findings"] if f["level"] == "warning"] == [
        "public.user_credits: row level security is off",
        "1 unanswered proposal(s) expired over an hour ago",
    ]
    assert actors.contents(db) == before


def test_settings_that_are_gone_are_an_error(operator: Operator, db: Connection) -> None:
    db.execute("delete from session_approval.settings")

    status, found = operator.doctor()

    assert (status, found["settings"]) == (1, {})
    assert found["findings"][0]["what"] == "session_approval.settings has no row"
