"""A therapist sees exactly the clients to whom a session can be proposed."""

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    add_person,
    call,
    call_as,
    change,
    forget_kind,
    propose,
)
from tests.conftest import Refused

CLIENTS = "list_clients"


def test_active_clients_are_listed_by_name(db: Connection, therapist: Person) -> None:
    zoe = add_person(db, "individual", "Zoe")
    ann = add_person(db, "user", "Ann")
    add_person(db, "individual", "Gone", is_active=False)
    add_person(db, "partner", "Partner")
    add_person(db, "therapist", "Colleague")

    assert call(db, therapist, CLIENTS) == [
        {
            "id": person.id,
            "full_name": person.full_name,
            "email": person.email,
            "time_zone": None,
        }
        for person in (ann, zoe)
    ]


def test_a_client_is_listed_with_a_time_zone_that_exists_or_none(
    db: Connection, therapist: Person
) -> None:
    zones = {"Africa/Lagos": "Africa/Lagos", "UTC": "UTC", "Londn5": None, "": None, None: None}
    people = {add_person(db, "individual").id: zone for zone in zones}
    for person_id, zone in people.items():
        change(db, "users", person_id, time_zone=zone)

    assert {row["id"]: row["time_zone"] for row in call(db, therapist, CLIENTS)} == {
        person_id: zones[zone] for person_id, zone in people.items()
    }


def test_clients_with_the_same_name_are_listed_in_a_fixed_order(
    db: Connection, therapist: Person
) -> None:
    people = [add_person(db, "individual", "Sam") for _ in range(4)]

    listed = [row["id"] for row in call(db, therapist, CLIENTS)]

    assert listed == sorted(person.id for person in people)


def test_every_listed_client_can_be_proposed_a_session(db: Connection, therapist: Person) -> None:
    for user_type in ("individual", "user", "partner", "therapist"):
        add_person(db, user_type)

    for row in call(db, therapist, CLIENTS):
        propose(db, therapist, Person(row["id"], row["email"], row["full_name"], ""))


@pytest.mark.parametrize("user_type", ["individual", "user", "partner"])
def test_only_a_therapist_sees_clients(db: Connection, refused: Refused, user_type: str) -> None:
    person = add_person(db, user_type)

    with refused(403, "AUTHORIZATION_ERROR") as refusal:
        call(db, person, CLIENTS)

    assert refusal.message == "Only a therapist can list clients"


def test_a_person_without_a_user_type_sees_no_clients(
    db: Connection, therapist: Person, refused: Refused
) -> None:
    forget_kind(db, therapist)

    with refused(403, "AUTHORIZATION_ERROR"):
        call(db, therapist, CLIENTS)


def test_a_person_who_cannot_sign_in_sees_no_clients(
    db: Connection, therapist: Person, refused: Refused
) -> None:
    change(db, "users", therapist.id, is_active=False)

    with refused(403, "AUTHORIZATION_ERROR"):
        call(db, therapist, CLIENTS)
    for role in ("authenticated", "service_role"):
        with refused(401, "AUTHENTICATION_ERROR"):
            call_as(db, role, None, CLIENTS)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        call_as(db, "anon", therapist, CLIENTS)
