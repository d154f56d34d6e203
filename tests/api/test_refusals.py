"""What the API refuses before the database is asked, and that nothing changes when it does."""

import io
import time
from dataclasses import replace
from uuid import uuid4

import jwt
import pytest

from api.config import Settings
from scripts.local import free_port
from scripts.local.tokens import mint
from tests.actors import Connection, Person
from tests.api.conftest import ISSUER, SECRET, Api, assert_refused, headers_of

A_SESSION = "/api/sessions/3f0c0cde-95a1-4a0f-8d4c-0d0a7b1f8e11"
PROPOSE = "/api/therapist/create-custom-session"
NOBODY = "3f0c0cde-95a1-4a0f-8d4c-0d0a7b1f8e11"
CLIENT = "the client's id"  # filled in where it is sent
GOOD = {"patient_id": CLIENT, "start_time": "2031-05-06T10:00:00Z"}

# Every route: method, path.
ROUTES = [
    ("POST", PROPOSE),
    ("GET", "/api/therapist/clients"),
    ("POST", "/api/sessions/approve"),
    ("GET", "/api/sessions/pending"),
    ("GET", "/api/sessions"),
    ("GET", A_SESSION),
    ("POST", f"{A_SESSION}/decline"),
    ("POST", f"{A_SESSION}/cancel"),
    ("GET", f"{A_SESSION}/cancellation"),
    ("POST", f"{A_SESSION}/join"),
    ("POST", "/api/sessions/join"),
    ("POST", f"{A_SESSION}/finish"),
    ("GET", "/api/credits/user"),
]
WITH_BODY = [
    PROPOSE,
    "/api/sessions/approve",
    f"{A_SESSION}/decline",
    f"{A_SESSION}/cancel",
    "/api/sessions/join",
    f"{A_SESSION}/finish",
]

BAD_BODIES = [
    (PROPOSE, {}, "patient_id"),
    (PROPOSE, {**GOOD, "patient_id": "nobody"}, "patient_id"),
    (PROPOSE, {**GOOD, "patient_id": None}, "patient_id"),
    (PROPOSE, {**GOOD, "patient_id": NOBODY}, "patient_id"),
    (PROPOSE, {**GOOD, "start_time": "tomorrow"}, "start_time"),
    (PROPOSE, {**GOOD, "start_time": "2031-05-06T10:00:00"}, "start_time"),  # no offset
    (PROPOSE, {**GOOD, "start_time": "2001-05-06T10:00:00Z"}, "start_time"),
    (PROPOSE, {"patient_id": CLIENT}, "start_time"),
    (PROPOSE, {**GOOD, "session_date": "2031-13-40"}, "session_date"),
    (PROPOSE, {**GOOD, "session_time": "25:61"}, "session_time"),
    (PROPOSE, {**GOOD, "session_time": "10:00+02:00"}, "session_time"),
    (PROPOSE, {**GOOD, "time_zone": "Europe/Atlantis"}, "time_zone"),
    (PROPOSE, {**GOOD, "time_zone": "Londn5"}, "time_zone"),
    (PROPOSE, {**GOOD, "duration_minutes": "long"}, "duration_minutes"),
    (PROPOSE, {**GOOD, "duration_minutes": 4}, "duration_minutes"),
    (PROPOSE, {**GOOD, "duration_minutes": 481}, "duration_minutes"),
    (PROPOSE, {**GOOD, "duration_minutes": 30.5}, "duration_minutes"),
    (PROPOSE, {**GOOD, "duration_minutes": 10**12}, "duration_minutes"),
    (PROPOSE, {**GOOD, "duration_minutes": 2**31}, "duration_minutes"),
    (PROPOSE, {**GOOD, "duration_minutes": -(2**31) - 1}, "duration_minutes"),
    (PROPOSE, {**GOOD, "session_type": ""}, "session_type"),
    (PROPOSE, {**GOOD, "session_type": 7}, "session_type"),
    (PROPOSE, {**GOOD, "title": "t" * 201}, "title"),
    (PROPOSE, {**GOOD, "title": "nul \x00 byte"}, "title"),
    (PROPOSE, {**GOOD, "notes": "n" * 4001}, "notes"),
    (PROPOSE, {**GOOD, "notes": ["n"]}, "notes"),
    (PROPOSE, {**GOOD, "is_instant": "perhaps"}, "is_instant"),
    (PROPOSE, {**GOOD, "price": 0}, "price"),
    # Nothing is taken for what it is not.
    (PROPOSE, {**GOOD, "start_time": 1936000000}, "start_time"),
    (PROPOSE, {**GOOD, "start_time": "1936000000"}, "start_time"),
    (PROPOSE, {**GOOD, "session_date": "20310506"}, "session_date"),
    (PROPOSE, {**GOOD, "session_time": 36000}, "session_time"),
    (PROPOSE, {**GOOD, "duration_minutes": True}, "duration_minutes"),
    (PROPOSE, {**GOOD, "is_instant": 1}, "is_instant"),
    ("/api/sessions/approve", {}, "session_id"),
    ("/api/sessions/approve", {"session_id": 7}, "session_id"),
    ("/api/sessions/approve", {"session_id": NOBODY, "user_id": "x"}, "user_id"),
    ("/api/sessions/join", {"sessionId": "x"}, "sessionId"),
    (f"{A_SESSION}/decline", {"reason": {}}, "reason"),
    (f"{A_SESSION}/cancel", {"because": "x"}, "because"),
    (f"{A_SESSION}/finish", {"outcome": "cancelled"}, "outcome"),
    (f"{A_SESSION}/finish", {"outcome": "no_show", "no_show_by": "me"}, "no_show_by"),
]


def _everything(db: Connection) -> list[object]:
    tables = (
        "public.sessions",
        "public.user_credits",
        "session_approval.credit_ledger",
        "session_approval.session_events",
    )
    return [db.execute(f"select * from {table} order by id").fetchall() for table in tables]


@pytest.mark.parametrize(("path", "body", "field"), BAD_BODIES)
def test_a_bad_field_is_named_and_nothing_changes(
    api: Api,
    db: Connection,
    therapist: Person,
    client: Person,
    path: str,
    body: dict[str, object],
    field: str,
) -> None:
    body = {name: client.id if value == CLIENT else value for name, value in body.items()}
    before = _everything(db)

    details = assert_refused(api.post(path, therapist, **body), 400, "VALIDATION_ERROR")

    assert list(details) == [field] or (body == {} and field in details)
    assert _everything(db) == before


@pytest.mark.parametrize("path", WITH_BODY)
def test_a_body_that_is_not_a_json_object_is_refused(
    api: Api, therapist: Person, path: str
) -> None:
    def send(data: bytes, content_type: str = "application/json") -> object:
        return api.http.post(
            path, data=data, content_type=content_type, headers=headers_of(therapist)
        )

    assert_refused(send(b"{not json"), 400, "VALIDATION_ERROR")
    assert_refused(send(b"[]"), 400, "VALIDATION_ERROR")
    assert_refused(send(b"null"), 400, "VALIDATION_ERROR")
    assert_refused(send(b'{"a": "\xff"}'), 400, "VALIDATION_ERROR")
    assert_refused(send(b"a=b", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert_refused(send(b"{}", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert_refused(send(b" " * 1_000_000), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "done"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"upcoming": "perhaps"}, "upcoming"),
        ({"before": "yesterday"}, "before"),
        ({"before": str(uuid4())}, "before"),
        ({"page": "2"}, "page"),
    ],
)
def test_a_bad_filter_is_named(api: Api, client: Person, query: dict[str, str], field: str) -> None:
    details = assert_refused(api.get("/api/sessions", client, **query), 400, "VALIDATION_ERROR")
    assert field in details


@pytest.mark.parametrize(("method", "path"), [(m, p) for m, p in ROUTES if p.startswith(A_SESSION)])
def test_an_id_that_is_no_uuid_is_named(api: Api, client: Person, method: str, path: str) -> None:
    bad = path.replace(A_SESSION, "/api/sessions/42")
    response = api.http.open(bad, method=method, headers=headers_of(client))
    assert "session_id" in assert_refused(response, 400, "VALIDATION_ERROR")


def test_a_fault_of_our_own_is_told_without_its_words(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    words = "what a session was about"

    def broken() -> str:
        raise ValueError(words)

    api.http.application.add_url_rule("/broken", view_func=broken)

    answer = api.http.get("/broken")

    assert assert_refused(answer, 500, "INTERNAL_ERROR") is None
    assert "unexpected ValueError" in caplog.text
    assert "in broken" in caplog.text
    assert words not in caplog.text + answer.text


def test_unknown_paths_and_methods_are_refused_in_the_same_shape(api: Api) -> None:
    nothing = api.get("/api/nothing")
    assert_refused(nothing, 404, "NOT_FOUND")
    assert "URL was not found" in nothing.json["error"]
    response = api.http.delete("/api/sessions/approve")
    assert_refused(response, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in response.headers["Allow"]


def test_numbers_and_truths_may_come_as_text_as_forms_send_them(
    api: Api, therapist: Person, client: Person
) -> None:
    session = api.propose(therapist, client, is_instant="true", duration_minutes="45")
    assert (session["is_instant"], session["duration_minutes"]) == (True, 45)
    assert api.propose(therapist, client, is_instant="1")["is_instant"] is True
    for day, text in enumerate(("false", "0"), start=1):
        at = {"start_time": f"2031-06-0{day}T10:00:00Z", "duration_minutes": 60.0}
        session = api.propose(therapist, client, is_instant=text, **at)
        assert (session["is_instant"], session["duration_minutes"]) == (False, 60)


def test_a_time_may_come_as_local_date_and_time(
    api: Api, therapist: Person, client: Person
) -> None:
    local = {"session_date": "2031-06-09", "session_time": "10:30", "time_zone": "Asia/Tokyo"}
    proposed = api.post(PROPOSE, therapist, patient_id=client.id, **local)
    assert proposed.json["session"]["start_time"] == "2031-06-09T01:30:00+00:00"


@pytest.mark.parametrize("minutes", [-(2**31), -2, 0, 2**31 - 1])
def test_which_number_is_right_is_the_databases_to_say(
    api: Api, therapist: Person, client: Person, minutes: int
) -> None:
    def refused(duration: int) -> object:
        body = {"patient_id": client.id, "start_time": GOOD["start_time"]}
        answer = api.post(PROPOSE, therapist, **body, duration_minutes=duration)
        return assert_refused(answer, 400, "VALIDATION_ERROR")

    assert refused(minutes) == refused(4)


def test_a_body_that_ends_before_its_length_is_refused(api: Api, client: Person) -> None:
    answer = api.http.post(
        "/api/sessions/join",
        input_stream=io.BytesIO(b'{"session_id"'),
        headers={**headers_of(client), "Content-Length": "99"},
        content_type="application/json",
    )
    assert_refused(answer, 400, "VALIDATION_ERROR")


def test_a_route_beside_the_sessions_is_no_sessions_id(api: Api, client: Person) -> None:
    for path in ("/api/sessions/approve", "/api/sessions/join"):
        response = api.get(path, client)
        assert_refused(response, 405, "METHOD_NOT_ALLOWED")
        assert "GET" not in response.headers["Allow"]


def _claims(person: Person) -> dict[str, object]:
    token = mint(SECRET, ISSUER, str(person.id), person.email)
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_wants_a_token_that_verifies(
    settings: Settings, client: Person, method: str, path: str
) -> None:
    # Nothing listens there: a request that reached for Supabase would answer 503 instead.
    api = Api(replace(settings, rest_url=f"http://127.0.0.1:{free_port()}"))
    good = _claims(client)
    missing = {
        name: [c for c in good if c != name] for name in ("exp", "sub", "aud", "iss", "role")
    }
    forged = {
        "wrong key": jwt.encode(good, "another secret that nobody has configured", "HS256"),
        "no signature": jwt.encode(good, None, "none"),
        "other algorithm": jwt.encode(good, SECRET, "HS384"),
        "expired": jwt.encode({**good, "exp": int(time.time()) - 60}, SECRET, "HS256"),
        "not yet": jwt.encode({**good, "nbf": int(time.time()) + 60}, SECRET, "HS256"),
        "other audience": jwt.encode({**good, "aud": "other"}, SECRET, "HS256"),
        "other issuer": jwt.encode({**good, "iss": "https://evil.test"}, SECRET, "HS256"),
        "service_role": jwt.encode({**good, "role": "service_role"}, SECRET, "HS256"),
        "anon": jwt.encode({**good, "role": "anon"}, SECRET, "HS256"),
        "subject no uuid": jwt.encode({**good, "sub": "me"}, SECRET, "HS256"),
        "oversize": jwt.encode({**good, "pad": "x" * 9000}, SECRET, "HS256"),
        "garbage": "a.b.c",
        **{
            f"without {name}": jwt.encode({c: good[c] for c in kept}, SECRET, "HS256")
            for name, kept in missing.items()
        },
    }
    headers = [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic dTpw"}]
    headers += [{"Authorization": f"Bearer {token}"} for token in forged.values()]
    for sent in headers:
        response = api.http.open(path, method=method, headers=sent, json={})
        assert_refused(response, 401, "AUTHENTICATION_ERROR")
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_no_answer_and_no_log_line_carries_the_token(
    api: Api, client: Person, caplog: pytest.LogCaptureFixture
) -> None:
    token = headers_of(client)["Authorization"].split()[1]
    with caplog.at_level("DEBUG"):
        for response in (
            api.get("/api/credits/user", client),
            api.get("/api/therapist/clients", client),
            api.get(A_SESSION, client),
        ):
            assert token not in response.text
    assert token not in caplog.text
    assert token.split(".")[2] not in caplog.text
