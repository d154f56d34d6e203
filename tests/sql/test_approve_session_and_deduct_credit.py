"""Approving: exactly one credit, exactly once, or nothing at all."""

from uuid import uuid4

from tests.conftest import Refused
from tests.people import (
    Connection,
    Person,
    add_person,
    approve,
    balances,
    call,
    give_credits,
    ledger,
    propose,
)


def test_approving_a_scheduled_session_takes_one_credit(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    session = propose(db, therapist, client)

    approved = approve(db, client, session)

    assert approved["status"] == "scheduled"
    assert approved["already_approved"] is False
    assert approved["credits_balance_after"] == 2
    assert approved["message"] == "Session approved successfully."
    assert balances(db, client) == [2]
    entry = ledger(db, client)[-1]
    assert (entry["kind"], entry["delta"], entry["balance_after"]) == ("approval", -1, 2)
    assert (entry["lot_id"], entry["session_id"], entry["actor_id"]) == (
        lot,
        session["id"],
        client.id,
    )
