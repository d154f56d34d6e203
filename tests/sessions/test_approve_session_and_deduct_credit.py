"""Approving: exactly one credit, exactly once, or nothing at all."""

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests import actors
from tests.actors import (
    Connection,
    Person,
    Row,
    act_as,
    add_person,
    approve,
    balances,
    call,
    call_as,
    change,
    configure,
    contents,
    events,
    free_slot,
    give_credits,
    ledger,
    propose,
    row,
)
from tests.conftest import Refused

APPROVE = "approve_session_and_deduct_credit"


def test_approving_a_scheduled_session_takes_one_credit(
    db: Connection, therapist: Person, client: Person
) -> None:
    lot = give_credits(db, client, 3)
    session = propose(db, therapist, client)

    approved = approve(db, client, session)

    assert approved["status"] == "scheduled"
    assert approved["beside"]["already_approved"] is False
    assert approved["beside"]["credits_balance_after"] == 2
    assert approved["beside"]["message"] == "Session approved successfully."
    assert balances(db, client) == [2]
    entry = ledger(db, client)[-1]
    assert (entry["kind"], entry["delta"], entry["balance_after"]) == ("approval", -1, 2)
    assert (entry["lot_id"], entry["session_id"], entry["actor_id"]) == (
        lot,
        session["id"],
        client.id,
    )


def test_the_session_remembers_when_it_was_approved_and_which_lot_paid(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    lot = give_credits(db, client)
    session = propose(db, therapist, client)

    approved = approve(db, client, session)

    assert approved["approved_at"] == now
    assert row(db, "sessions", session["id"])["credit_lot_id"] == lot
    latest = events(db, session)[-1]
    assert (latest["from_status"], latest["to_status"]) == ("pending_approval", "scheduled")
    assert (latest["actor_id"], latest["reason"]) == (client.id, None)


def test_approving_a_scheduled_session_does_not_change_its_time(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(
        db, therapist, client, p_start_time=free_slot(db), p_time_zone="Asia/Kathmandu"
    )

    approved = approve(db, client, session)

    clock = ("start_time", "end_time", "scheduled_date", "scheduled_time", "time_zone")
    assert [approved[name] for name in clock] == [session[name] for name in clock]
    assert approved["scheduled_time"] == time(15, 45)


# Which credit pays.


def paying_lot(db: Connection, therapist: Person, client: Person) -> UUID:
    """Approve a new session and return the lot that paid for it."""
    session = propose(db, therapist, client)
    approve(db, client, session)
    lot: UUID = row(db, "sessions", session["id"])["credit_lot_id"]
    return lot


def test_the_lot_that_expires_soonest_pays_first_and_one_without_expiry_last(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    never = give_credits(db, client, created_at=now - timedelta(days=300))
    later = give_credits(
        db, client, expires_at=now + timedelta(days=20), created_at=now - timedelta(days=200)
    )
    soon = give_credits(
        db, client, expires_at=now + timedelta(days=10), created_at=now - timedelta(days=100)
    )

    paid = [paying_lot(db, therapist, client) for _ in range(3)]

    assert paid == [soon, later, never]


@pytest.mark.parametrize("expires_in", [timedelta(days=10), None])
def test_the_oldest_lot_pays_first_when_lots_expire_together(
    db: Connection,
    therapist: Person,
    client: Person,
    now: datetime,
    expires_in: timedelta | None,
) -> None:
    expires_at = expires_in and now + expires_in
    young = give_credits(db, client, expires_at=expires_at, created_at=now - timedelta(days=1))
    old = give_credits(db, client, expires_at=expires_at, created_at=now - timedelta(days=2))

    paid = [paying_lot(db, therapist, client) for _ in range(2)]

    assert paid == [old, young]


def test_the_lot_with_the_lowest_id_pays_first_when_all_else_is_equal(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    lots = [give_credits(db, client, created_at=now) for _ in range(6)]

    paid = [paying_lot(db, therapist, client) for _ in lots]

    assert paid == sorted(lots)


def test_a_lot_is_emptied_before_the_next_one_pays(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    first = give_credits(db, client, 2, expires_at=now + timedelta(days=1))
    second = give_credits(db, client, 2)

    paid = [paying_lot(db, therapist, client) for _ in range(3)]

    assert paid == [first, first, second]


@pytest.mark.parametrize("user_type", ["individual", "user"])
def test_a_lot_of_either_kind_of_client_pays(
    db: Connection, therapist: Person, client: Person, user_type: str
) -> None:
    lot = give_credits(db, client)
    change(db, "user_credits", lot, user_type=user_type)

    assert paying_lot(db, therapist, client) == lot


def test_a_lot_without_a_status_counts_as_active(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute("alter table public.user_credits alter column status drop not null")
    lot = give_credits(db, client)
    change(db, "user_credits", lot, status=None)

    assert paying_lot(db, therapist, client) == lot


@pytest.mark.parametrize(
    "columns",
    [
        {"expires_at": "yesterday"},
        {"expires_at": "now"},
        {"status": "inactive"},
        {"status": "expired"},
        {"user_type": "partner"},
        {"user_type": "therapist"},
        {"credits_balance": 0},
    ],
    ids=str,
)
def test_an_unusable_lot_does_not_pay(
    db: Connection,
    therapist: Person,
    client: Person,
    refused: Refused,
    columns: dict[str, Any],
) -> None:
    lot = give_credits(db, client, 5)
    change(db, "user_credits", lot, **columns)
    session = propose(db, therapist, client)

    with refused(402, "INSUFFICIENT_CREDITS"):
        approve(db, client, session)
    assert row(db, "user_credits", lot)["credits_balance"] == columns.get("credits_balance", 5)

    paying = give_credits(db, client)
    approved = approve(db, client, session)
    assert row(db, "sessions", session["id"])["credit_lot_id"] == paying
    assert approved["beside"]["credits_balance_after"] == 0


def test_an_overdrawn_lot_does_not_pay_and_does_not_block_another_lot(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute("alter table public.user_credits drop constraint credits_balance_is_not_negative")
    give_credits(db, client, -3, created_at="yesterday")
    lot = give_credits(db, client, 1)

    assert paying_lot(db, therapist, client) == lot
    assert balances(db, client) == [-3, 0]


def test_the_credits_of_another_person_do_not_pay(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    give_credits(db, stranger, 5)
    give_credits(db, therapist, 5)
    session = propose(db, therapist, client)

    with refused(402, "INSUFFICIENT_CREDITS"):
        approve(db, client, session)


def test_a_refusal_for_lack_of_credits_says_how_many_are_missing(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)

    with refused(402, "INSUFFICIENT_CREDITS") as refusal:
        approve(db, client, session)

    assert refusal.message == "Insufficient credits"
    assert refusal.details == {"required": 1, "available": 0, "short_by": 1}


# Once.


def test_approving_again_gives_the_same_answer_and_takes_nothing(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 3)
    session = propose(db, therapist, client)
    first = approve(db, client, session)
    before = contents(db)

    second = approve(db, client, session)

    assert second == {**first, "beside": {**first["beside"], "already_approved": True}}
    assert contents(db) == before


def test_an_old_time_of_approval_does_not_count_as_paid(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 1)
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approved_at="yesterday")

    approved = approve(db, client, session)

    assert (approved["status"], approved["beside"]["already_approved"]) == ("scheduled", False)
    assert balances(db, client) == [0]


def test_approving_again_after_the_last_credit_is_gone_is_not_refused(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 1)
    session = propose(db, therapist, client)
    approve(db, client, session)

    assert approve(db, client, session)["beside"]["credits_balance_after"] == 0


def test_approving_again_after_the_time_to_answer_is_not_refused(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 1)
    session = propose(db, therapist, client)
    approve(db, client, session)
    change(db, "sessions", session["id"], approval_expires_at="yesterday")

    assert approve(db, client, session)["beside"]["already_approved"] is True


def test_approving_an_instant_session_again_does_not_restart_its_clock(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client, p_is_instant=True)
    approve(db, client, session)
    begun = now - timedelta(minutes=10)
    change(db, "sessions", session["id"], start_time=begun)

    again = approve(db, client, session)

    assert again["start_time"] == begun
    assert again["beside"]["message"] == "Session approved! You can join immediately."


@pytest.mark.parametrize("status", ["confirmed", "in_progress", "completed", "no_show"])
def test_approving_again_later_in_the_sessions_life_takes_nothing(
    db: Connection, therapist: Person, client: Person, status: str
) -> None:
    give_credits(db, client, 3)
    session = propose(db, therapist, client)
    approve(db, client, session)
    change(db, "sessions", session["id"], status=status)
    before = contents(db)

    again = approve(db, client, session)

    assert (again["status"], again["beside"]["already_approved"]) == (status, True)
    assert (again["beside"]["room"] is None) == (status in ("completed", "no_show"))
    assert contents(db) == before


# Refusals.


def test_only_the_client_of_a_session_finds_it_for_approval(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    for person in (client, stranger, therapist):
        give_credits(db, person)
    session = propose(db, therapist, client)

    said = []
    for person, session_id in [
        (stranger, session["id"]),
        (therapist, session["id"]),
        (stranger, uuid4()),
        (stranger, None),
    ]:
        with refused(404, "SESSION_NOT_FOUND") as refusal:
            call(db, person, APPROVE, p_session_id=session_id)
        said.append((refusal.message, refusal.details))

    assert said == [("Session not found or not pending approval", None)] * 4


def test_a_stranger_does_not_find_a_decided_session(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    approve(db, client, session)

    with refused(404, "SESSION_NOT_FOUND"):
        approve(db, stranger, session)


@pytest.mark.parametrize(
    ("ended_by", "function", "cancellation_reason"),
    [
        ("client", "decline_session", "declined"),
        ("client", "cancel_session", "declined"),
        ("therapist", "cancel_session", "withdrawn"),
    ],
)
def test_an_ended_proposal_can_no_longer_be_approved(
    db: Connection,
    therapist: Person,
    client: Person,
    refused: Refused,
    ended_by: str,
    function: str,
    cancellation_reason: str,
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    person = {"client": client, "therapist": therapist}[ended_by]
    call(db, person, function, p_session_id=session["id"])

    with refused(409, "SESSION_NOT_PENDING") as refusal:
        approve(db, client, session)

    assert refusal.message == "Session not found or not pending approval"
    assert refusal.details == {"status": "cancelled", "cancellation_reason": cancellation_reason}


def test_a_cancelled_session_is_not_approved_again(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    give_credits(db, client, 2)
    session = propose(db, therapist, client)
    approve(db, client, session)
    call(db, therapist, "cancel_session", p_session_id=session["id"])

    with refused(409, "SESSION_NOT_PENDING") as refusal:
        approve(db, client, session)

    assert refusal.details == {
        "status": "cancelled",
        "cancellation_reason": "cancelled_by_therapist",
    }
    assert balances(db, client) == [2]


@pytest.mark.parametrize("status", ["scheduled", None])
def test_a_session_that_the_old_code_scheduled_needs_no_approval(
    db: Connection, therapist: Person, client: Person, refused: Refused, status: str | None
) -> None:
    db.execute("alter table public.sessions alter column status drop not null")
    give_credits(db, client)
    [session] = db.execute(
        "insert into public.sessions (user_id, therapist_id, start_time, end_time, status)"
        " values (%s, %s, 'tomorrow 10:00', 'tomorrow 10:30', %s) returning id",
        (client.id, therapist.id, status),
    ).fetchall()

    with refused(409, "SESSION_NOT_PENDING") as refusal:
        approve(db, client, session)

    assert refusal.details == {"status": status, "cancellation_reason": None}
    assert balances(db, client) == [1]


def test_a_proposal_can_be_approved_until_the_moment_it_expires(
    db: Connection, therapist: Person, client: Person, now: datetime, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at=now)

    with refused(410, "SESSION_EXPIRED") as refusal:
        approve(db, client, session)
    assert refusal.message == "Nobody answered this request in time"
    assert datetime.fromisoformat(refusal.details["approval_expires_at"]) == now

    change(db, "sessions", session["id"], approval_expires_at=now + timedelta(microseconds=1))
    assert approve(db, client, session)["status"] == "scheduled"


@pytest.mark.parametrize(
    "answer", ["approve_session_and_deduct_credit", "decline_session", "cancel_session"]
)
def test_the_refusal_of_a_late_answer_shows_the_time_in_utc(
    db: Connection, therapist: Person, client: Person, refused: Refused, answer: str
) -> None:
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="2026-01-01 12:00+00")
    db.execute("select set_config('timezone', 'Asia/Tokyo', true)")

    with refused(410, "SESSION_EXPIRED") as refusal:
        call(db, client, answer, p_session_id=session["id"])

    assert refusal.details == {"approval_expires_at": "2026-01-01T12:00:00+00:00"}


def test_an_expired_proposal_stays_expired_after_the_sweep(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    change(
        db,
        "sessions",
        session["id"],
        status="cancelled",
        cancellation_reason="expired",
        approval_expires_at="yesterday",
    )

    with refused(410, "SESSION_EXPIRED"):
        approve(db, client, session)


def test_a_client_without_credits_also_learns_that_a_proposal_has_expired(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at="yesterday")

    with refused(410, "SESSION_EXPIRED"):
        approve(db, client, session)


def test_a_waiting_session_without_a_time_to_answer_can_always_be_approved(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], approval_expires_at=None)

    assert approve(db, client, session)["status"] == "scheduled"


def test_a_person_cannot_approve_in_the_name_of_another(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)

    for person in (stranger, therapist):
        with refused(403, "AUTHORIZATION_ERROR") as refusal:
            call(db, person, APPROVE, p_session_id=session["id"], p_user_id=client.id)
        assert refusal.message == "You can only act as yourself"


def test_a_client_may_name_themselves(db: Connection, therapist: Person, client: Person) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)

    [approved] = call(db, client, APPROVE, p_session_id=session["id"], p_user_id=client.id)

    assert approved["status"] == "scheduled"


def test_a_token_without_a_person_cannot_approve(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)

    for arguments in ({}, {"p_user_id": client.id}):
        with refused(401, "AUTHENTICATION_ERROR"):
            call(db, None, APPROVE, p_session_id=session["id"], **arguments)


def test_anonymous_callers_cannot_call_the_function(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)

    for person in (None, client):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
            call_as(db, "anon", person, APPROVE, p_session_id=session["id"], p_user_id=client.id)


def test_anonymous_callers_are_refused_even_with_grants_on_the_functions(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    db.execute("grant usage on schema session_approval to anon")
    for schema in ("public", "session_approval"):
        db.execute(f"grant execute on all functions in schema {schema} to anon")

    with refused(401, "AUTHENTICATION_ERROR"):
        call_as(db, "anon", client, APPROVE, p_session_id=session["id"], p_user_id=client.id)


def test_the_server_approves_for_the_client_it_names(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)

    [approved] = call_as(
        db, "service_role", None, APPROVE, p_session_id=session["id"], p_user_id=client.id
    )

    assert approved["status"] == "scheduled"
    assert ledger(db, client)[-1]["actor_id"] == client.id
    assert events(db, session)[-1]["actor_id"] == client.id


def test_an_operator_at_a_prompt_approves_for_the_client_they_name(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)

    [approved] = db.execute(
        f"select * from public.{APPROVE}(%s, %s)",
        (session["id"], client.id),
    ).fetchall()

    assert approved["status"] == "scheduled"


def test_the_server_cannot_approve_for_a_client_who_does_not_own_the_session(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    arguments = {"p_session_id": session["id"]}

    with refused(404, "SESSION_NOT_FOUND"):
        call_as(db, "service_role", None, APPROVE, p_user_id=stranger.id, **arguments)
    with refused(401, "AUTHENTICATION_ERROR"):
        call_as(db, "service_role", None, APPROVE, **arguments)


def test_a_role_that_the_application_made_can_act_only_as_the_person_in_its_token(
    db: Connection, therapist: Person, client: Person, stranger: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    db.execute("create role test_member_of_authenticated nologin in role authenticated")
    role = "test_member_of_authenticated"

    for person in (stranger, None):
        with refused(
            403 if person else 401, "AUTHORIZATION_ERROR" if person else "AUTHENTICATION_ERROR"
        ):
            call_as(db, role, person, APPROVE, p_session_id=session["id"], p_user_id=client.id)
    [approved] = call_as(db, role, client, APPROVE, p_session_id=session["id"])
    assert approved["status"] == "scheduled"


def test_an_account_that_is_switched_off_or_unknown_cannot_approve(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    change(db, "users", client.id, is_active=False)
    unknown = Person(uuid4(), "nobody@example.org", "Nobody", "individual")

    for person in (client, unknown):
        with refused(403, "AUTHORIZATION_ERROR") as refusal:
            approve(db, person, session)
        assert refusal.message == "This account is not active"
    with refused(403, "AUTHORIZATION_ERROR"):
        call_as(db, "service_role", None, APPROVE, p_session_id=session["id"], p_user_id=client.id)


def test_a_refusal_changes_nothing(own_database: str) -> None:
    with actors.connect(own_database) as db:
        therapist = add_person(db, "therapist")
        client, stranger = add_person(db, "individual"), add_person(db, "individual")
        give_credits(db, stranger, 5)
        give_credits(db, client, 5, expires_at="yesterday")
        pending = propose(db, therapist, client)
        expired = propose(db, therapist, client)
        change(db, "sessions", expired["id"], approval_expires_at="yesterday")
        declined = propose(db, therapist, client)
        call(db, client, "decline_session", p_session_id=declined["id"])
        before = contents(db)

        states = []
        for person, session in [
            (client, pending),
            (client, expired),
            (client, declined),
            (stranger, pending),
            (None, pending),
        ]:
            with pytest.raises(psycopg.Error) as caught:
                call(db, person, APPROVE, p_session_id=session["id"])
            states.append(caught.value.sqlstate)

        assert states == ["PT402", "PT410", "PT409", "PT404", "PT401"]
        assert contents(db) == before


# What it answers.


@pytest.mark.parametrize(("left", "is_low"), [(0, True), (2, True), (3, False)])
def test_the_answer_says_when_few_credits_are_left(
    db: Connection, therapist: Person, client: Person, left: int, is_low: bool
) -> None:
    configure(db, low_balance=2)
    give_credits(db, client, left + 1)

    approved = approve(db, client, propose(db, therapist, client))

    assert (approved["beside"]["credits_balance_after"], approved["beside"]["credits_low"]) == (
        left,
        is_low,
    )


def test_the_answer_has_the_published_columns_and_types(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client, p_title="Ninth hour", p_notes="Bring the map")

    approved = approve(db, client, session)

    published = {
        "id": UUID,
        "user_id": UUID,
        "therapist_id": UUID,
        "title": str,
        "description": type(None),
        "scheduled_date": date,
        "scheduled_time": time,
        "start_time": datetime,
        "end_time": datetime,
        "duration_minutes": int,
        "session_type": str,
        "status": str,
        "created_at": datetime,
    }
    assert {name: type(approved[name]) for name in published} == published
    assert (approved["user_id"], approved["therapist_id"]) == (client.id, therapist.id)
    assert (approved["title"], approved["session_type"]) == ("Ninth hour", "video")
    assert all(approved[name].tzinfo for name in ("start_time", "end_time", "created_at"))
    assert approved["therapist"] == {
        "id": str(therapist.id),
        "full_name": therapist.full_name,
        "email": therapist.email,
    }


def test_the_function_keeps_its_published_name_and_parameters(db: Connection) -> None:
    found = db.execute(
        "select pg_get_function_arguments(f.oid) as arguments, f.proretset"
        " from pg_proc f where f.proname = %s and f.pronamespace = 'public'::regnamespace",
        (APPROVE,),
    ).fetchall()

    assert found == [
        {"arguments": "p_session_id uuid, p_user_id uuid DEFAULT auth.uid()", "proretset": True}
    ]


# Of these two zones one has another day than UTC at any moment.
@pytest.mark.parametrize("time_zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_approving_an_instant_session_confirms_it_and_restarts_its_clock(
    db: Connection, therapist: Person, client: Person, now: datetime, time_zone: str
) -> None:
    give_credits(db, client)
    session = propose(
        db, therapist, client, p_is_instant=True, p_duration_minutes=45, p_time_zone=time_zone
    )
    proposed = now - timedelta(minutes=14)
    change(
        db,
        "sessions",
        session["id"],
        start_time=proposed,
        end_time=proposed + timedelta(minutes=45),
        scheduled_date="2001-01-01",
        scheduled_time="01:01",
    )

    approved = approve(db, client, session)

    assert (approved["status"], approved["is_instant"]) == ("confirmed", True)
    assert approved["beside"]["message"] == "Session approved! You can join immediately."
    assert approved["start_time"] == now
    assert approved["end_time"] == now + timedelta(minutes=45)
    assert (approved["scheduled_date"], approved["scheduled_time"]) == shown_in(time_zone, now)


def shown_in(time_zone: str, moment: datetime) -> tuple[date, time]:
    """Return what calendars and clocks of a time zone show at a moment, to the second."""
    local = moment.astimezone(ZoneInfo(time_zone)).replace(microsecond=0)
    return local.date(), local.time()


def test_the_answer_describes_the_room(db: Connection, therapist: Person, client: Person) -> None:
    configure(db, join_early="7 minutes")
    give_credits(db, client)
    session = propose(db, therapist, client, p_duration_minutes=50)

    approved = approve(db, client, session)

    start: datetime = approved["start_time"]
    assert approved["join_opens_at"] == start - timedelta(minutes=7)
    assert approved["beside"]["room"] == {
        "name": f"s-{session['id'].hex}",
        "opens_at": int((start - timedelta(minutes=7)).timestamp()),
        "closes_at": int((start + timedelta(minutes=50)).timestamp()),
        "max_participants": 2,
    }


@pytest.mark.parametrize(
    "columns",
    [{"status": "completed"}, {"start_time": "yesterday", "end_time": "now"}],
    ids=["finished", "its time has passed"],
)
def test_a_session_that_is_over_needs_no_room(
    db: Connection, therapist: Person, client: Person, columns: dict[str, str]
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    approve(db, client, session)
    change(db, "sessions", session["id"], **columns)

    assert approve(db, client, session)["beside"]["room"] is None


URLS = ("session_url", "daily_room_url")
NAMES = ("room_name", "daily_room_name")


def test_the_columns_that_existing_screens_read_say_where_the_room_is(
    db: Connection, therapist: Person, client: Person
) -> None:
    configure(db, video_base_url="https://example.daily.co")
    give_credits(db, client)
    session = propose(db, therapist, client)
    name = f"s-{session['id'].hex}"

    approved = approve(db, client, session)

    stored = row(db, "sessions", session["id"])
    for answer in (approved, stored):
        assert [answer[column] for column in URLS] == [f"https://example.daily.co/{name}"] * 2
        assert [answer[column] for column in NAMES] == [name] * 2


def test_the_url_columns_stay_empty_without_a_video_address(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)

    approved = approve(db, client, propose(db, therapist, client))

    assert [approved[column] for column in URLS] == [None, None]


def test_the_urls_of_the_application_stay_without_a_video_address(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    own = {column: f"https://video.example.org/{column}" for column in URLS}
    change(db, "sessions", session["id"], **own)

    approved = approve(db, client, session)

    assert {column: approved[column] for column in URLS} == own


def test_the_address_of_the_room_is_hidden_before_approval(
    db: Connection, therapist: Person, client: Person
) -> None:
    configure(db, video_base_url="https://example.daily.co")
    proposed = propose(db, therapist, client, p_is_instant=True)
    legacy = propose(db, therapist, client)
    change(
        db,
        "sessions",
        legacy["id"],
        requires_approval=False,
        session_url="https://old.daily.co/x",
        daily_room_url="https://old.daily.co/x",
        room_name="x",
        daily_room_name="x",
    )

    seen: list[Row] = [proposed]
    for person in (client, therapist):
        seen += call(db, person, "list_pending_sessions")
        seen += call(db, person, "list_sessions")
        for session in (proposed, legacy):
            seen += call(db, person, "get_session", p_session_id=session["id"])
    for session in (proposed, legacy):
        seen += call(db, client, "decline_session", p_session_id=session["id"])
    seen += call(db, client, "list_sessions")

    assert len(seen) == 1 + 2 + 2 * 4 + 2 + 2
    assert {answer[column] for answer in seen for column in (*URLS, *NAMES)} == {None}


def test_a_waiting_session_of_the_old_code_gets_its_own_room_on_approval(
    db: Connection, therapist: Person, client: Person
) -> None:
    configure(db, video_base_url="https://example.daily.co")
    give_credits(db, client)
    session = propose(db, therapist, client)
    change(db, "sessions", session["id"], session_url="https://old.daily.co/x", room_name="x")

    approved = approve(db, client, session)

    name = f"s-{session['id'].hex}"
    assert (approved["session_url"], approved["room_name"]) == (
        f"https://example.daily.co/{name}",
        name,
    )


def test_a_waiting_session_of_the_old_code_needs_neither_duration_nor_time_zone(
    db: Connection, therapist: Person, client: Person, now: datetime
) -> None:
    configure(db, default_time_zone="Asia/Kathmandu")
    give_credits(db, client)
    session = propose(db, therapist, client, p_is_instant=True, p_duration_minutes=20)
    change(
        db,
        "sessions",
        session["id"],
        duration_minutes=None,
        time_zone=None,
        scheduled_date=None,
        scheduled_time=None,
    )

    approved = approve(db, client, session)

    assert approved["end_time"] == now + timedelta(minutes=20)
    assert approved["duration_minutes"] == 20
    shown = (approved["scheduled_date"], approved["scheduled_time"])
    assert shown == shown_in("Asia/Kathmandu", now)


def test_a_person_cannot_call_the_implementation_that_moves_credits(
    db: Connection, client: Person
) -> None:
    give_credits(db, client, 3)

    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        act_as(db, client),
    ):
        db.execute("select session_approval.debit_one_credit(%s, %s)", (client.id, uuid4()))
