"""Lists come a page at a time, and every page says whether there are more."""

from typing import Any

import pytest

from tests.actors import Connection, Person, add_person, change, give_credits
from tests.api.conftest import Api, assert_refused


def every_page(
    api: Api, path: str, person: Person, field: str, cursor: str, **query: Any
) -> list[list[Any]]:
    """Ask for page after page, as a frontend does, and return the ids on each."""
    pages = []
    while True:
        answer = api.get(path, person, **query).json
        assert answer["data"]["has_more"] is answer["has_more"]
        pages.append([row["id"] for row in answer[field]])
        if not answer["has_more"]:
            return pages
        query[cursor] = pages[-1][-1]


@pytest.mark.parametrize("path", ["/api/sessions", "/api/sessions/pending"])
def test_sessions_come_a_page_at_a_time(
    api: Api, therapist: Person, client: Person, path: str
) -> None:
    proposed = [api.propose(therapist, client)["id"] for _ in range(5)]

    pages = every_page(api, path, client, "sessions", "before", limit=2)

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [session_id for page in pages for session_id in page] == proposed[::-1]
    assert api.get(path, therapist, limit=1).json["has_more"] is (path == "/api/sessions")


def test_a_list_without_rows_has_no_more(api: Api, client: Person) -> None:
    for path in ("/api/sessions", "/api/sessions/pending", "/api/credits/user"):
        assert api.get(path, client).json["has_more"] is False


def test_clients_are_searched_and_come_a_page_at_a_time(
    api: Api, db: Connection, therapist: Person
) -> None:
    word = therapist.id.hex[:10]
    people = [add_person(db, "individual", f"{letter} Zoë {word}") for letter in "CABED"]

    pages = every_page(
        api, "/api/therapist/clients", therapist, "clients", "after", search=f"zoe {word}", limit=2
    )

    assert [len(page) for page in pages] == [2, 2, 1]
    in_order = sorted(people, key=lambda person: person.full_name)
    assert [client_id for page in pages for client_id in page] == [str(p.id) for p in in_order]
    [found] = api.get("/api/therapist/clients", therapist, search=people[0].email).json["clients"]
    assert found == {
        "id": str(people[0].id),
        "full_name": people[0].full_name,
        "email": people[0].email,
        "time_zone": None,
    }


def test_the_history_of_credits_comes_a_hundred_changes_at_a_time(
    api: Api, db: Connection, client: Person
) -> None:
    lot = give_credits(db, client, 500)
    for balance in range(499, 350, -1):
        change(db, "user_credits", lot, credits_balance=balance)

    pages = every_page(api, "/api/credits/user", client, "history", "before")

    assert [len(page) for page in pages] == [100, 50]
    assert len(set(pages[0]) | set(pages[1])) == 150


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/api/sessions/pending", {"limit": 0}, "limit"),
        ("/api/sessions/pending", {"limit": "many"}, "limit"),
        ("/api/sessions/pending", {"before": "first"}, "before"),
        ("/api/sessions/pending", {"before": "00000000-0000-4000-8000-00000000dead"}, "before"),
        ("/api/sessions/pending", {"page": 2}, "page"),
        ("/api/credits/user", {"before": "first"}, "before"),
        ("/api/credits/user", {"before": 2**63}, "before"),
        ("/api/credits/user", {"limit": 5}, "limit"),
    ],
)
def test_a_page_that_cannot_be_is_refused_by_its_field(
    api: Api, client: Person, path: str, query: dict[str, Any], field: str
) -> None:
    details = assert_refused(api.get(path, client, **query), 400, "VALIDATION_ERROR")

    assert details.keys() == {field}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 101}, "limit"),
        ({"search": "x" * 201}, "search"),
        ({"after": "00000000-0000-4000-8000-00000000dead"}, "after"),
    ],
)
def test_a_page_of_clients_that_cannot_be_is_refused_by_its_field(
    api: Api, therapist: Person, query: dict[str, Any], field: str
) -> None:
    refused = api.get("/api/therapist/clients", therapist, **query)

    assert assert_refused(refused, 400, "VALIDATION_ERROR").keys() == {field}
