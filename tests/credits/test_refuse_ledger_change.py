"""The ledger only grows, unless its owner says so, for one transaction."""

import psycopg
import pytest

from tests import actors
from tests.actors import Connection, Person, act_as, give_credits, ledger

SWITCH = "set local session_approval.allow_ledger_changes = 'on'"
CHANGES = [
    "update session_approval.credit_ledger set delta = delta",
    "delete from session_approval.credit_ledger where id = (select max(id) from"
    " session_approval.credit_ledger)",
    "truncate session_approval.credit_ledger",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_ledger_change_by_mistake_is_refused_with_a_hint_about_the_switch(
    db: Connection, client: Person, change: str
) -> None:
    give_credits(db, client, 3)
    before = ledger(db, client)

    with pytest.raises(psycopg.errors.RestrictViolation) as refused, db.transaction():
        db.execute(change)

    assert refused.value.diag.message_primary == "session_approval.credit_ledger is append-only"
    assert SWITCH in (refused.value.diag.message_hint or "")
    assert ledger(db, client) == before


@pytest.mark.parametrize("value", ["", "off", "true", "ON", "1"])
def test_only_the_exact_value_on_allows_a_change(
    db: Connection, client: Person, value: str
) -> None:
    give_credits(db, client)
    db.execute("select set_config('session_approval.allow_ledger_changes', %s, true)", (value,))

    with pytest.raises(psycopg.errors.RestrictViolation), db.transaction():
        db.execute("delete from session_approval.credit_ledger")


def test_the_switch_ends_with_its_transaction(own_database: str) -> None:
    with actors.connect(own_database) as db:
        give_credits(db, actors.add_person(db, "individual"))
        with db.transaction():
            db.execute(SWITCH)
            assert db.execute("delete from session_approval.credit_ledger").rowcount == 1

        give_credits(db, actors.add_person(db, "individual"))
        with pytest.raises(psycopg.errors.RestrictViolation):
            db.execute("delete from session_approval.credit_ledger")


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_switch_gives_no_rights_to_other_roles(
    db: Connection, client: Person, role: str, change: str
) -> None:
    give_credits(db, client)
    db.execute(SWITCH)

    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        db.transaction(),
        act_as(db, client, role),
    ):
        db.execute(change)


def test_the_switch_does_not_stop_the_recording_of_balance_changes(
    db: Connection, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    db.execute(SWITCH)

    actors.change(db, "user_credits", lot, credits_balance=1)

    assert [(e["kind"], e["delta"]) for e in ledger(db, client)] == [
        ("external", 3),
        ("external", -2),
    ]
