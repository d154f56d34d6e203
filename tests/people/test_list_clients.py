"""A therapist sees exactly the clients to whom a session can be proposed."""

from typing import Any
from uuid import UUID, uuid4

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
            "beside": {"has_more": False},
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


# Page by page.


def test_pages_together_are_the_whole_list(db: Connection, therapist: Person) -> None:
    for name in ("Zoe", "Ann", "Sam", "Sam", "Sam"):
        add_person(db, "individual", name)
    db.execute("alter table public.users alter full_name drop not null")
    nameless = add_person(db, "individual")
    change(db, "users", nameless.id, full_name=None)
    whole = [row["id"] for row in call(db, therapist, CLIENTS)]
    assert (len(whole), whole[0]) == (6, nameless.id)

    for limit in (1, 2, 3, 6, 7, 100):
        found: list[UUID] = []
        more, last = True, None
        while more:
            page = call(db, therapist, CLIENTS, p_limit=limit, p_after=last)
            [more] = {row["beside"]["has_more"] for row in page}
            assert len(page) == limit or not more
            last = page[-1]["id"]
            found += [row["id"] for row in page]
        assert found == whole


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"p_limit": 0}, "limit"),
        ({"p_limit": 101}, "limit"),
        ({"p_limit": None}, "limit"),
        ({"p_after": uuid4()}, "after"),
        ({"p_search": "x" * 201}, "search"),
    ],
)
def test_a_page_that_makes_no_sense_is_refused(
    db: Connection, therapist: Person, refused: Refused, arguments: dict[str, Any], field: str
) -> None:
    with refused(400, "VALIDATION_ERROR") as refusal:
        call(db, therapist, CLIENTS, **arguments)

    assert refusal.message == "The filter is not valid"
    assert refusal.details.keys() == {field}


def test_a_page_cannot_begin_after_a_person_who_is_no_client(
    db: Connection, therapist: Person, refused: Refused
) -> None:
    for person in (
        add_person(db, "partner"),
        add_person(db, "therapist"),
        add_person(db, "individual", is_active=False),
    ):
        with refused(400, "VALIDATION_ERROR") as refusal:
            call(db, therapist, CLIENTS, p_after=person.id)
        assert refusal.details == {"after": "must be the id of a client"}


# Searching.


@pytest.mark.parametrize(
    ("search", "names"),
    [
        (None, ["Ann Lee", "José Müller", "Søren Ørsted"]),
        ("", ["Ann Lee", "José Müller", "Søren Ørsted"]),
        ("  ", ["Ann Lee", "José Müller", "Søren Ørsted"]),
        ("ann", ["Ann Lee"]),
        ("LEE ann", ["Ann Lee"]),
        ("le  an", ["Ann Lee"]),
        ("ann müller", []),
        ("jose", ["José Müller"]),
        ("JOSÉ", ["José Müller"]),
        ("muller", ["José Müller"]),
        ("søren", ["Søren Ørsted"]),
        ("Ørsted", ["Søren Ørsted"]),
        ("soren@", ["Søren Ørsted"]),
        ("soren Ørsted", ["Søren Ørsted"]),
        ("orsted", []),
        ("ann.lee@example.org", ["Ann Lee"]),
        ("ANN.LEE@", ["Ann Lee"]),
        ("lee@ex", ["Ann Lee"]),
        ("müller x7@example", ["José Müller"]),
        ("%", []),
        ("_", []),
        ("\\", []),
        (".*", []),
        ("nobody", []),
    ],
)
def test_a_search_finds_every_word_in_the_name_or_the_email_address(
    db: Connection, therapist: Person, search: str | None, names: list[str]
) -> None:
    emails = ("ann.lee@example.org", "x7@example.org", "soren@example.org")
    for name, email in zip(("Ann Lee", "José Müller", "Søren Ørsted"), emails, strict=True):
        change(db, "users", add_person(db, "individual", name).id, email=email)

    found = call(db, therapist, CLIENTS, p_search=search)

    assert [row["full_name"] for row in found] == names


def test_a_search_finds_accents_however_they_were_typed(db: Connection, therapist: Person) -> None:
    add_person(db, "individual", "Jose\u0301 Mu\u0308ller")

    for search in ("Jos\u00e9", "Jose\u0301", "m\u00fcller", "muller"):
        assert len(call(db, therapist, CLIENTS, p_search=search)) == 1


def test_a_search_is_paged_as_well(db: Connection, therapist: Person) -> None:
    for name in ("Sam A", "Sam B", "Tom", "Sam C"):
        add_person(db, "individual", name)

    first = call(db, therapist, CLIENTS, p_search="sam", p_limit=2)
    [second] = call(db, therapist, CLIENTS, p_search="sam", p_limit=2, p_after=first[-1]["id"])

    assert [row["full_name"] for row in (*first, second)] == ["Sam A", "Sam B", "Sam C"]
    assert [row["beside"]["has_more"] for row in (*first, second)] == [True, True, False]


def test_a_search_does_not_find_people_who_are_no_clients(
    db: Connection, therapist: Person
) -> None:
    add_person(db, "partner", "Sam")
    add_person(db, "individual", "Sam", is_active=False)
    add_person(db, "therapist", "Sam")

    assert call(db, therapist, CLIENTS, p_search="sam") == []
    assert call(db, therapist, CLIENTS, p_search=therapist.email) == []
