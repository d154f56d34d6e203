"""Cancelling: withdrawn while it waits, refunded by policy once paid, and never refunded twice."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    Row,
    add_person,
    approve,
    balances,
    call,
    call_as,
    change,
    configure,
    contents,
    events,
    give_credits,
    ledger,
    overtaken,
    propose,
    row,
    three_connections,
)
from tests.conftest import Refused

CANCEL = "cancel_session"


@pytest.fixture
def lot(db: Connection, client: Person) -> UUID:
    """A lot of three credits."""
    return give_credits(db, client, 3)


@pytest.fixture
def session(
    db: Connection,
    therapist: Person,
    client: Person,
    now: datetime,
    lot: UUID,  # noqa: ARG001 - it has to be there to pay
) -> Row:
    """An approved session, three days ahead, that took one credit."""
    return approve(db, client, propose(db, therapist, client, p_start_time=now + timedelta(days=3)))


def cancel(db: Connection, person: Person, session: Row, **arguments: Any) -> Row:
    """Cancel a session as a person, and return it."""
    [cancelled] = call(db, person, CANCEL, p_session_id=session["id"], **arguments)
    return cancelled


def paying_until(cancelled: Row) -> datetime:
    """Return when the credit that came back stops paying."""
    return datetime.fromisoformat(cancelled["beside"]["refund_expires_at"])


# While it waits.


def test_a_therapist_can_withdraw_a_waiting_proposal(
    db: Connection, therapist: Person, client: Person, lot: UUID, now: datetime
) -> None:
    session = propose(db, therapist, client)

    withdrawn = cancel(db, therapist, session, p_reason="Wrong day")

    assert (withdrawn["status"], withdrawn["cancellation_reason"]) == ("cancelled", "withdrawn")
    assert (withdrawn["cancelled_by"], withdrawn["cancelled_at"]) == (str(therapist.id), now)
    assert (withdrawn["beside"]["refunded"], withdrawn["beside"]["message"]) == (
        False,
        "Session withdrawn.",
    )
    assert row(db, "user_credits", lot)["credits_balance"] == 3
    latest = events(db, session)[-1]
    assert (latest["actor_id"], latest["reason"]) == (therapist.id, "Wrong day")
    assert cancel(db, therapist, session) == withdrawn


def test_a_client_who_cancels_a_waiting_proposal_declines_it(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)

    cancelled = cancel(db, client, session)

    assert cancelled["cancellation_reason"] == "declined"
    assert cancel(db, client, session) == cancelled
    assert call(db, client, "decline_session", p_session_id=session["id"]) == [cancelled]


def test_the_other_person_cannot_end_an_ended_proposal(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    declined, withdrawn = propose(db, therapist, client), propose(db, therapist, client)
    cancel(db, client, declined)
    cancel(db, therapist, withdrawn)

    for person, session, how in [
        (therapist, declined, "declined"),
        (client, withdrawn, "withdrawn"),
    ]:
        with refused(409, "SESSION_NOT_PENDING") as refusal:
            cancel(db, person, session)
        assert refusal.details == {"status": "cancelled", "cancellation_reason": how}


def test_an_expired_proposal_can_no_longer_be_withdrawn(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="now")

    for _ in range(2):
        for person in (therapist, client):
            with refused(410, "SESSION_EXPIRED"):
                cancel(db, person, session)
        call_as(db, "service_role", None, "sweep_sessions")


# Once it is paid.


def test_the_credit_goes_back_to_the_lot_that_paid(
    db: Connection, client: Person, lot: UUID, session: Row, now: datetime
) -> None:
    sooner = give_credits(db, client, expires_at=now + timedelta(days=1))

    cancelled = cancel(db, client, session, p_reason="A cold")

    assert cancelled["status"] == "cancelled"
    assert cancelled["cancellation_reason"] == "cancelled_by_client"
    assert (cancelled["cancelled_by"], cancelled["cancelled_at"]) == (str(client.id), now)
    assert (cancelled["beside"]["refunded"], cancelled["beside"]["refund_expires_at"]) == (
        True,
        None,
    )
    assert cancelled["beside"]["message"] == "Session cancelled. The credit was refunded."
    assert cancelled["beside"]["credits_balance_after"] == 4
    assert row(db, "user_credits", lot)["credits_balance"] == 3
    assert row(db, "user_credits", sooner)["credits_balance"] == 1
    entry = ledger(db, client)[-1]
    assert (entry["kind"], entry["delta"], entry["balance_after"]) == ("refund", 1, 3)
    assert (entry["lot_id"], entry["session_id"]) == (lot, session["id"])
    assert entry["actor_id"] == client.id
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("scheduled", "cancelled")
    assert (latest["actor_id"], latest["reason"]) == (client.id, "A cold")


def starting(db: Connection, session: Row, start: datetime) -> None:
    """Move a session to another start, as an operator does."""
    change(db, "sessions", session["id"], start_time=start, end_time=start + timedelta(minutes=30))


@pytest.mark.parametrize(("beyond", "refunded"), [(0, True), (-1, False)])
def test_free_cancellation_ends_at_an_exact_moment(
    db: Connection,
    client: Person,
    session: Row,
    now: datetime,
    beyond: int,
    refunded: bool,
) -> None:
    configure(db, free_cancel_window="24 hours")
    starting(db, session, now + timedelta(hours=24, microseconds=beyond))
    [preview] = call(db, client, "preview_cancellation", p_session_id=session["id"])

    cancelled = cancel(db, client, session)

    assert (cancelled["beside"]["refunded"], preview["refundable"]) == (refunded, refunded)
    assert balances(db, client) == [3 if refunded else 2]
    assert cancelled["beside"]["credits_balance_after"] == (3 if refunded else 2)
    assert cancelled["beside"]["message"].endswith("refunded.") == refunded


def test_a_late_cancellation_by_the_client_keeps_the_credit_spent(
    db: Connection, client: Person, session: Row, now: datetime
) -> None:
    starting(db, session, now + timedelta(hours=1))

    cancelled = cancel(db, client, session)

    assert (cancelled["status"], cancelled["beside"]["refunded"]) == ("cancelled", False)
    assert cancelled["beside"]["message"] == "Session cancelled."
    assert [entry["kind"] for entry in ledger(db, client)] == ["external", "approval"]


@pytest.mark.parametrize("before_start", [timedelta(hours=1), timedelta(minutes=-20)])
def test_a_therapist_who_cancels_always_gives_the_credit_back(
    db: Connection,
    therapist: Person,
    client: Person,
    session: Row,
    now: datetime,
    before_start: timedelta,
) -> None:
    starting(db, session, now + before_start)

    cancelled = cancel(db, therapist, session)

    assert cancelled["cancellation_reason"] == "cancelled_by_therapist"
    assert cancelled["beside"]["refunded"] is True
    assert balances(db, client) == [3]
    assert ledger(db, client)[-1]["actor_id"] == therapist.id


def test_a_therapist_does_not_learn_the_clients_balance(
    db: Connection, therapist: Person, session: Row
) -> None:
    assert "credits_balance_after" not in cancel(db, therapist, session)["beside"]


def test_a_confirmed_instant_session_can_be_cancelled_too(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 1)
    session = approve(db, client, propose(db, therapist, client, p_is_instant=True))

    cancelled = cancel(db, therapist, session)

    assert (session["status"], cancelled["status"]) == ("confirmed", "cancelled")
    assert balances(db, client) == [1]


def test_cancelling_again_gives_the_same_answer_and_refunds_nothing_more(
    db: Connection, therapist: Person, client: Person, session: Row
) -> None:
    first = cancel(db, client, session)
    before = contents(db)

    assert cancel(db, client, session, p_reason="Really") == first
    assert contents(db) == before

    give_credits(db, client, 1)
    other = approve(db, client, propose(db, therapist, client))
    by_therapist = cancel(db, therapist, other)
    assert cancel(db, therapist, other) == by_therapist


def test_a_refund_is_still_reported_after_its_lot_is_deleted(
    db: Connection, client: Person, lot: UUID, session: Row
) -> None:
    cancel(db, client, session)
    db.execute("delete from public.user_credits where id = %s", (lot,))

    again = cancel(db, client, session)

    assert (again["beside"]["refunded"], again["beside"]["refund_expires_at"]) == (True, None)


def test_the_other_person_cannot_cancel_a_cancelled_session(
    db: Connection, therapist: Person, client: Person, session: Row, refused: Refused
) -> None:
    cancel(db, client, session)

    with refused(409, "SESSION_NOT_CANCELLABLE") as refusal:
        cancel(db, therapist, session)

    assert refusal.message == "This session can no longer be cancelled"
    assert refusal.details == {
        "status": "cancelled",
        "cancellation_reason": "cancelled_by_client",
    }
    assert balances(db, client) == [3]


@pytest.mark.parametrize("status", ["in_progress", "completed", "no_show"])
def test_a_session_that_has_begun_or_ended_cannot_be_cancelled(
    db: Connection,
    therapist: Person,
    client: Person,
    session: Row,
    refused: Refused,
    status: str,
) -> None:
    change(db, "sessions", session["id"], status=status)

    for person in (client, therapist):
        with refused(409, "SESSION_NOT_CANCELLABLE") as refusal:
            cancel(db, person, session)
        assert refusal.details == {"status": status, "cancellation_reason": None}


def test_a_session_that_the_old_code_cancelled_is_not_cancelled_again(
    db: Connection, therapist: Person, client: Person, session: Row, refused: Refused
) -> None:
    change(db, "sessions", session["id"], status="cancelled")

    for person in (client, therapist):
        with refused(409, "SESSION_NOT_CANCELLABLE") as refusal:
            cancel(db, person, session)
        assert refusal.details == {"status": "cancelled", "cancellation_reason": None}


def test_a_session_whose_time_has_passed_cannot_be_cancelled(
    db: Connection, therapist: Person, session: Row, now: datetime, refused: Refused
) -> None:
    starting(db, session, now - timedelta(minutes=30))

    with refused(409, "SESSION_NOT_CANCELLABLE"):
        cancel(db, therapist, session)

    change(db, "sessions", session["id"], end_time=now + timedelta(microseconds=1))
    assert cancel(db, therapist, session)["beside"]["refunded"] is True


def test_a_session_of_the_old_code_is_cancelled_without_a_refund(
    db: Connection, therapist: Person, client: Person, lot: UUID
) -> None:
    [session] = db.execute(
        "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
        " values (%s, %s, 'tomorrow 10:00', 'tomorrow 10:30') returning id",
        (client.id, therapist.id),
    ).fetchall()

    cancelled = cancel(db, therapist, session)

    assert (cancelled["status"], cancelled["beside"]["refunded"]) == ("cancelled", False)
    assert row(db, "user_credits", lot)["credits_balance"] == 3


def test_a_session_that_was_only_marked_as_paid_refunds_nothing(
    db: Connection, therapist: Person, client: Person, lot: UUID
) -> None:
    [session] = db.execute(
        "insert into public.sessions (user_id, therapist_id, start_time, end_time, credit_lot_id)"
        " values (%s, %s, '2030-01-01 10:00', '2030-01-01 10:30', %s) returning id",
        (client.id, therapist.id, lot),
    ).fetchall()
    [preview] = call(db, therapist, "preview_cancellation", p_session_id=session["id"])

    assert preview["refundable"] is False
    assert cancel(db, therapist, session)["beside"]["refunded"] is False
    assert balances(db, client) == [3]


def test_a_session_that_an_operator_revived_is_cancelled_again_but_not_refunded_again(
    db: Connection, therapist: Person, client: Person, session: Row
) -> None:
    cancel(db, client, session)
    change(db, "sessions", session["id"], status="scheduled")
    [preview] = call(db, therapist, "preview_cancellation", p_session_id=session["id"])
    assert preview["refundable"] is False

    cancelled = cancel(db, therapist, session)

    assert cancelled["cancellation_reason"] == "cancelled_by_therapist"
    assert balances(db, client) == [3]
    assert [e["kind"] for e in ledger(db, client)] == ["external", "approval", "refund"]


@pytest.mark.parametrize("how", ["declined", "withdrawn", "expired", "cancelled_by_client"])
def test_a_live_session_with_an_old_reason_can_be_cancelled(
    db: Connection, client: Person, session: Row, how: str
) -> None:
    change(db, "sessions", session["id"], cancellation_reason=how)

    cancelled = cancel(db, client, session)

    assert (cancelled["status"], cancelled["beside"]["refunded"]) == ("cancelled", True)
    assert cancelled["cancellation_reason"] == "cancelled_by_client"


def test_a_finished_session_with_an_old_reason_does_not_count_as_cancelled(
    db: Connection, client: Person, session: Row, refused: Refused
) -> None:
    change(
        db,
        "sessions",
        session["id"],
        status="completed",
        cancellation_reason="cancelled_by_client",
    )

    with refused(409, "SESSION_NOT_CANCELLABLE"):
        cancel(db, client, session)


# The refund of the credit.


def test_a_credit_of_an_expired_lot_gets_grace_and_the_rest_of_the_lot_is_written_off(
    db: Connection, client: Person, lot: UUID, session: Row, now: datetime
) -> None:
    configure(db, refund_grace="14 days")
    change(db, "user_credits", lot, expires_at=now)

    cancelled = cancel(db, client, session)

    assert cancelled["beside"]["refunded"] is True
    assert paying_until(cancelled) == now + timedelta(days=14)
    assert cancelled["beside"]["credits_balance_after"] == 1
    stored = row(db, "user_credits", lot)
    assert (stored["credits_balance"], stored["credits_expired"]) == (1, 2)
    assert stored["expires_at"] == now + timedelta(days=14)
    assert [(e["kind"], e["delta"], e["balance_after"]) for e in ledger(db, client)] == [
        ("external", 3, 3),
        ("approval", -1, 2),
        ("expiry", -2, 0),
        ("refund", 1, 1),
    ]


def test_a_credit_of_an_expired_and_empty_lot_gets_grace_without_a_write_off(
    db: Connection, client: Person, lot: UUID, session: Row
) -> None:
    change(db, "user_credits", lot, expires_at="yesterday", credits_balance=0)

    cancel(db, client, session)

    assert [entry["kind"] for entry in ledger(db, client)][-2:] == ["external", "refund"]
    assert row(db, "user_credits", lot)["credits_balance"] == 1


def test_a_credit_of_a_lot_that_has_not_expired_keeps_its_expiry(
    db: Connection, client: Person, lot: UUID, session: Row, now: datetime
) -> None:
    expires_at = now + timedelta(microseconds=1)
    change(db, "user_credits", lot, expires_at=expires_at)

    assert paying_until(cancel(db, client, session)) == expires_at
    assert row(db, "user_credits", lot)["credits_balance"] == 3


def test_a_second_refund_to_a_lot_shares_the_grace_of_the_first(
    db: Connection, therapist: Person, client: Person, lot: UUID, session: Row, now: datetime
) -> None:
    second = approve(db, client, propose(db, therapist, client))
    change(db, "user_credits", lot, expires_at="yesterday")

    cancel(db, therapist, session)
    cancelled = cancel(db, therapist, second)

    assert paying_until(cancelled) == now + timedelta(days=30)
    assert row(db, "user_credits", lot)["credits_balance"] == 2


@pytest.mark.parametrize("left", [0, None])
def test_a_refunded_credit_pays_again(
    db: Connection, therapist: Person, client: Person, lot: UUID, session: Row, left: int | None
) -> None:
    db.execute("alter table public.user_credits alter column credits_balance drop not null")
    change(db, "user_credits", lot, credits_balance=left, status="depleted")

    cancel(db, client, session)

    approve(db, client, propose(db, therapist, client))
    assert balances(db, client) == [0]


@pytest.mark.parametrize("left", [2, 1])
def test_a_refund_does_not_activate_a_suspended_lot(
    db: Connection, client: Person, lot: UUID, session: Row, left: int
) -> None:
    change(db, "user_credits", lot, credits_balance=left, status="suspended")

    cancelled = cancel(db, client, session)

    stored = row(db, "user_credits", lot)
    assert (stored["credits_balance"], stored["status"]) == (left + 1, "suspended")
    assert (cancelled["beside"]["refunded"], cancelled["beside"]["credits_balance_after"]) == (
        True,
        0,
    )


def test_the_credit_of_a_deleted_lot_comes_back_in_a_new_one_with_grace(
    db: Connection, client: Person, lot: UUID, session: Row, now: datetime
) -> None:
    db.execute("delete from public.user_credits where id = %s", (lot,))

    cancelled = cancel(db, client, session)

    assert cancelled["beside"]["refunded"] is True
    assert paying_until(cancelled) == now + timedelta(days=30)
    assert cancelled["beside"]["credits_balance_after"] == 1
    [stored] = db.execute(
        "select * from public.user_credits where user_id = %s", (client.id,)
    ).fetchall()
    assert (stored["credits_balance"], stored["user_type"]) == (1, "individual")
    entry = ledger(db, client)[-1]
    assert (entry["kind"], entry["delta"], entry["lot_id"]) == ("refund", 1, stored["id"])


def test_a_refund_goes_into_the_existing_lot_when_a_client_can_have_only_one(
    db: Connection, client: Person, lot: UUID, session: Row
) -> None:
    db.execute("create unique index one_lot_each on public.user_credits (user_id, user_type)")
    db.execute("delete from public.user_credits where id = %s", (lot,))
    replacement = give_credits(db, client, 5)

    cancelled = cancel(db, client, session)

    assert (cancelled["beside"]["refunded"], cancelled["beside"]["credits_balance_after"]) == (
        True,
        6,
    )
    assert row(db, "user_credits", replacement)["credits_balance"] == 6


# Refusals.


def test_other_people_cannot_cancel_a_session_and_do_not_learn_that_it_exists(
    db: Connection, session: Row, client: Person, stranger: Person, refused: Refused
) -> None:
    colleague = add_person(db, "therapist")

    said = []
    for person, session_id in [
        (stranger, session["id"]),
        (colleague, session["id"]),
        (client, uuid4()),
        (client, None),
    ]:
        with refused(404, "SESSION_NOT_FOUND") as refusal:
            call(db, person, CANCEL, p_session_id=session_id)
        said.append((refusal.message, refusal.details))

    assert said == [("Session not found", None)] * 4


def test_a_reason_that_is_too_long_is_refused_and_refunds_nothing(
    db: Connection, client: Person, session: Row, refused: Refused
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        cancel(db, client, session, p_reason="x" * 1001)

    assert refusal.details == {"reason": "must be at most 1000 characters"}
    assert balances(db, client) == [2]
    assert cancel(db, client, session, p_reason="x" * 1000)["beside"]["refunded"] is True


def test_a_caller_who_cannot_sign_in_cannot_cancel(
    db: Connection, client: Person, session: Row, refused: Refused
) -> None:
    change(db, "users", client.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        cancel(db, client, session)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, CANCEL, p_session_id=session["id"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", client, CANCEL, p_session_id=session["id"])


def test_a_refund_waits_while_its_lot_is_deleted_and_goes_into_another_lot(
    own_database: str,
) -> None:
    with three_connections(own_database) as (db, first, second):
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        lot = give_credits(db, client, 1)
        session = approve(db, client, propose(db, therapist, client))
        first.execute("delete from public.user_credits where id = %s", (lot,))

        answer = overtaken(
            db, first, second, lambda db: call(db, therapist, CANCEL, p_session_id=session["id"])
        )

        [cancelled] = answer.result()
        assert cancelled["beside"]["refunded"]
        assert balances(db, client) == [1]
