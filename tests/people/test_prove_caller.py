"""Who acts: a person as themselves, the server for whom it names."""

from typing import Any
from uuid import uuid4

import pytest

from tests.actors import (
    Connection,
    Person,
    Row,
    approve,
    balances,
    call,
    call_as,
    change,
    contents,
    events,
    free_slot,
    give_credits,
    ledger,
    propose,
)
from tests.conftest import Refused

APPROVE = "approve_session_and_deduct_credit"

# Every act of a person: who of the two does it, on a session in which state, with which parameters.
ACTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create_custom_session": ("therapist", "", {}),
    APPROVE: ("client", "waiting", {}),
    "decline_session": ("client", "waiting", {}),
    "cancel_session": ("client", "approved", {}),
    "join_session": ("client", "open", {}),
    "finish_session": ("therapist", "begun", {"p_outcome": "no_show"}),
}


@pytest.fixture(params=ACTS)
def act(
    db: Connection, therapist: Person, client: Person, request: pytest.FixtureRequest
) -> tuple[str, Person, dict[str, Any]]:
    """An act that its person could do now: its function, that person, and the parameters."""
    function: str = request.param
    who, state, parameters = ACTS[function]
    if not state:
        parameters = {"p_patient_id": client.id, "p_start_time": free_slot(db)}
        return function, therapist, parameters
    give_credits(db, client, 3)
    session = propose(db, therapist, client)
    if state != "waiting":
        approve(db, client, session)
    if state in ("open", "begun"):
        change(db, "sessions", session["id"], start_time="now")
    person = therapist if who == "therapist" else client
    return function, person, {**parameters, "p_session_id": session["id"]}


def test_the_server_acts_for_the_person_it_names(
    db: Connection, act: tuple[str, Person, dict[str, Any]]
) -> None:
    function, person, parameters = act

    [answer] = call_as(db, "service_role", None, function, **parameters, p_user_id=person.id)

    if "id" in answer:  # all but joining
        last = events(db, answer)[-1]
        assert last["actor_id"] == person.id
    else:
        assert answer["attendance"]["user_id"] == str(person.id)


def test_a_person_names_themselves_and_nobody_else(
    db: Connection,
    act: tuple[str, Person, dict[str, Any]],
    stranger: Person,
    refused: Refused,
) -> None:
    function, person, parameters = act
    before = contents(db)

    with refused(403, "AUTHORIZATION_ERROR") as refusal:
        call(db, stranger, function, **parameters, p_user_id=person.id)
    assert refusal.message == "You can only act as yourself"
    with refused(401, "AUTHENTICATION_ERROR"):
        call(db, person, function, **parameters, p_user_id=None)
    with refused(401, "AUTHENTICATION_ERROR"):
        call_as(db, "service_role", None, function, **parameters)
    assert contents(db) == before

    assert call(db, person, function, **parameters, p_user_id=person.id)


FOR_INACTIVE = {"cancel_session", "finish_session"}


def test_for_an_inactive_person_the_server_cancels_and_finishes_and_nothing_else(
    db: Connection, act: tuple[str, Person, dict[str, Any]], refused: Refused
) -> None:
    function, person, parameters = act
    change(db, "users", person.id, is_active=False)

    if function in FOR_INACTIVE:
        [answer] = call_as(db, "service_role", None, function, **parameters, p_user_id=person.id)
        assert answer["status"] in ("cancelled", "no_show")
        assert events(db, answer)[-1]["actor_id"] == person.id
    else:
        with refused(403, "AUTHORIZATION_ERROR") as refusal:
            call_as(db, "service_role", None, function, **parameters, p_user_id=person.id)
        assert refusal.message == "This account is not active"


@pytest.mark.parametrize("names_themselves", [False, True])
def test_an_inactive_persons_own_token_does_nothing(
    db: Connection,
    act: tuple[str, Person, dict[str, Any]],
    refused: Refused,
    names_themselves: bool,
) -> None:
    function, person, parameters = act
    change(db, "users", person.id, is_active=False)
    before = contents(db)
    if names_themselves:
        parameters["p_user_id"] = person.id

    with refused(403, "AUTHORIZATION_ERROR") as refusal:
        call(db, person, function, **parameters)

    assert refusal.message == "This account is not active"
    assert contents(db) == before


def test_the_server_cannot_act_for_a_person_who_does_not_exist(
    db: Connection, act: tuple[str, Person, dict[str, Any]], refused: Refused
) -> None:
    function, _, parameters = act

    with refused(403, "AUTHORIZATION_ERROR"):
        call_as(db, "service_role", None, function, **parameters, p_user_id=uuid4())


@pytest.fixture
def paid(db: Connection, therapist: Person, client: Person) -> Row:
    """An approved session, tomorrow at the earliest, that took one of three credits."""
    give_credits(db, client, 3)
    return approve(db, client, propose(db, therapist, client))


@pytest.mark.parametrize("who", ["therapist", "client"])
def test_the_server_cancels_by_the_terms_of_the_person_whom_it_names(
    db: Connection, therapist: Person, client: Person, paid: Row, who: str
) -> None:
    change(db, "sessions", paid["id"], start_time="now", end_time="tomorrow")
    person = {"therapist": therapist, "client": client}[who]
    change(db, "users", person.id, is_active=False)

    [cancelled] = call_as(
        db, "service_role", None, "cancel_session", p_session_id=paid["id"], p_user_id=person.id
    )

    assert cancelled["cancellation_reason"] == f"cancelled_by_{who}"
    assert cancelled["beside"]["refunded"] is (who == "therapist")
    assert balances(db, client) == [3 if who == "therapist" else 2]
    if who == "therapist":
        assert ledger(db, client)[-1]["actor_id"] == therapist.id


def test_the_server_withdraws_what_an_inactive_therapist_proposed(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)
    change(db, "users", therapist.id, is_active=False)

    [withdrawn] = call_as(
        db,
        "service_role",
        None,
        "cancel_session",
        p_session_id=session["id"],
        p_user_id=therapist.id,
    )

    assert withdrawn["cancellation_reason"] == "withdrawn"


def test_the_server_cannot_cancel_for_a_person_who_is_none_of_the_two(
    db: Connection, paid: Row, stranger: Person, refused: Refused
) -> None:
    change(db, "users", stranger.id, is_active=False)

    with refused(404, "SESSION_NOT_FOUND"):
        call_as(
            db,
            "service_role",
            None,
            "cancel_session",
            p_session_id=paid["id"],
            p_user_id=stranger.id,
        )
