"""Polling is cheap: an answer that has not changed is 304, and no cache keeps an answer."""

import pytest

from tests import actors
from tests.actors import Connection, Person
from tests.api.conftest import Api, headers_of

PATHS = ["/api/sessions", "/api/sessions/pending", "/api/credits/user"]


def get(api: Api, person: Person, path: str, etag: str = "") -> tuple[int, str]:
    """Send the ETag of an earlier answer, and return the new status and ETag."""
    response = api.http.get(path, headers={**headers_of(person), "If-None-Match": etag})
    assert response.headers["Cache-Control"] == "no-store"
    if response.status_code == 304:
        assert response.data == b""
        assert "Content-Type" not in response.headers
    else:
        assert response.json is not None
        assert response.json["success"] is True
    return response.status_code, response.headers["ETag"]


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_304_until_it_changes(
    api: Api, db: Connection, therapist: Person, client: Person, path: str
) -> None:
    actors.give_credits(db, client, 2)
    first = api.propose(therapist, client)
    status, etag = get(api, client, path)
    assert status == 200
    assert get(api, client, path, etag) == (304, etag)
    assert get(api, client, path, f"W/{etag}") == (304, etag)

    assert api.approve(client, first).status_code == 200

    status, changed = get(api, client, path, etag)
    assert status == 200
    assert changed != etag
    assert get(api, client, path, changed) == (304, changed)


def test_a_sessions_history_and_the_clients_are_304_until_they_change(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    session = api.propose(therapist, client)
    path = f"/api/sessions/{session['id']}"
    _, etag = get(api, client, path)
    assert get(api, client, path, etag) == (304, etag)
    api.post(f"{path}/decline", client)
    assert get(api, client, path, etag)[0] == 200

    _, etag = get(api, therapist, "/api/therapist/clients")
    assert get(api, therapist, "/api/therapist/clients", etag)[0] == 304
    actors.add_person(db, "individual", "Aaliyah Aalto")  # by name among the first page's
    assert get(api, therapist, "/api/therapist/clients", etag)[0] == 200


def test_another_persons_etag_gives_ones_own_answer_or_refusal(
    api: Api, therapist: Person, client: Person, stranger: Person
) -> None:
    session = api.propose(therapist, client)
    for path in ("/api/sessions", "/api/sessions/pending"):
        _, etag = get(api, client, path)
        status, own = get(api, stranger, path, etag)
        assert (status, own != etag) == (200, True)

    path = f"/api/sessions/{session['id']}"
    _, etag = get(api, client, path)
    refused = api.http.get(path, headers={**headers_of(stranger), "If-None-Match": etag})
    assert refused.status_code == 404
    assert "ETag" not in refused.headers
    assert api.http.get(path, headers={"If-None-Match": etag}).status_code == 401


def test_the_answer_to_an_act_has_no_etag_and_is_not_stored(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    actors.give_credits(db, client)
    session = api.propose(therapist, client)

    for _ in range(2):
        approved = api.approve(client, session)
        assert approved.status_code == 200
        assert approved.headers["Cache-Control"] == "no-store"
        assert "ETag" not in approved.headers
