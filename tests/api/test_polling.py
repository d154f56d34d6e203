"""Looking again is cheap: what has not changed is not sent again, and no cache keeps an answer."""

import pytest

from tests import actors
from tests.actors import Connection, Person
from tests.api.conftest import Api, headers_of

PATHS = ["/api/sessions", "/api/sessions/pending", "/api/credits/user"]


def look(api: Api, person: Person, path: str, etag: str = "") -> tuple[int, str]:
    """Look with what an earlier look gave, and return the status and the ETag."""
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
def test_what_has_not_changed_is_not_sent_again_until_it_changes(
    api: Api, db: Connection, therapist: Person, client: Person, path: str
) -> None:
    actors.give_credits(db, client, 2)
    first = api.propose(therapist, client)
    status, etag = look(api, client, path)
    assert status == 200
    assert look(api, client, path, etag) == (304, etag)
    assert look(api, client, path, f"W/{etag}") == (304, etag)

    assert api.approve(client, first).status_code == 200

    status, changed = look(api, client, path, etag)
    assert status == 200
    assert changed != etag
    assert look(api, client, path, changed) == (304, changed)


def test_the_history_of_a_session_and_the_clients_are_looked_at_alike(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    session = api.propose(therapist, client)
    path = f"/api/sessions/{session['id']}"
    _, etag = look(api, client, path)
    assert look(api, client, path, etag) == (304, etag)
    api.post(f"{path}/decline", client)
    assert look(api, client, path, etag)[0] == 200

    _, etag = look(api, therapist, "/api/therapist/clients")
    assert look(api, therapist, "/api/therapist/clients", etag)[0] == 304
    actors.add_person(db, "individual")
    assert look(api, therapist, "/api/therapist/clients", etag)[0] == 200


def test_one_persons_etag_gives_another_their_own_answer_or_their_own_refusal(
    api: Api, therapist: Person, client: Person, stranger: Person
) -> None:
    session = api.propose(therapist, client)
    for path in ("/api/sessions", "/api/sessions/pending"):
        _, etag = look(api, client, path)
        status, own = look(api, stranger, path, etag)
        assert (status, own != etag) == (200, True)

    path = f"/api/sessions/{session['id']}"
    _, etag = look(api, client, path)
    refused = api.http.get(path, headers={**headers_of(stranger), "If-None-Match": etag})
    assert refused.status_code == 404
    assert "ETag" not in refused.headers
    assert api.http.get(path, headers={"If-None-Match": etag}).status_code == 401


def test_an_act_is_answered_in_full_and_kept_nowhere_either(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    actors.give_credits(db, client)
    session = api.propose(therapist, client)

    for _ in range(2):
        approved = api.approve(client, session)
        assert approved.status_code == 200
        assert approved.headers["Cache-Control"] == "no-store"
        assert "ETag" not in approved.headers
