"""Row level security: what a person sees of the tables themselves, with nothing but a token."""

import psycopg
import pytest

from tests.people import Connection, Person, act_as, add_person, give_credits, propose


def seen(db: Connection, person: Person | None, table: str) -> int:
    """Return how many rows of a table a person sees."""
    with act_as(db, person):
        return len(db.execute(f"select id from public.{table}").fetchall())


def test_people_see_their_own_sessions_from_either_side(
    db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    propose(db, therapist, client)
    propose(db, therapist, stranger)

    assert seen(db, therapist, "sessions") == 2
    assert seen(db, client, "sessions") == 1
    assert seen(db, add_person(db, "therapist"), "sessions") == 0
    assert seen(db, None, "sessions") == 0


def test_clients_see_their_own_credits(db: Connection, client: Person, stranger: Person) -> None:
    give_credits(db, client, 3)

    assert seen(db, client, "user_credits") == 1
    assert seen(db, stranger, "user_credits") == 0
    assert seen(db, None, "user_credits") == 0


def test_people_see_themselves(db: Connection, client: Person, stranger: Person) -> None:
    assert client.id != stranger.id
    assert seen(db, client, "users") == 1


@pytest.mark.parametrize("table", ["users", "sessions", "user_credits"])
def test_without_signing_in_nobody_sees_anything(
    db: Connection, client: Person, table: str
) -> None:
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        db.transaction(),
        act_as(db, client, "anon"),
    ):
        db.execute(f"select from public.{table}")


@pytest.mark.parametrize("table", ["users", "sessions", "user_credits"])
@pytest.mark.parametrize(
    "statement", ["insert into {} default values", "update {} set id = id", "delete from {}"]
)
def test_in_a_new_project_people_write_nothing_directly(
    db: Connection, client: Person, table: str, statement: str
) -> None:
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        db.transaction(),
        act_as(db, client),
    ):
        db.execute(statement.format(f"public.{table}"))


@pytest.mark.parametrize(
    "relation",
    [
        "settings",
        "people",
        "clients",
        "spendable_lots",
        "session_details",
        "session_outcomes",
        "session_histories",
        "credit_ledger",
        "session_events",
    ],
)
def test_nothing_behind_the_doors_can_be_read(
    db: Connection, client: Person, relation: str
) -> None:
    for role in ("authenticated", "anon"):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            db.transaction(),
            act_as(db, client, role),
        ):
            db.execute(f"select from session_approval.{relation}")
