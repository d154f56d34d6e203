"""Supabase away, slow or cut off: the answer says whether the call may have been done."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from api.config import Settings
from scripts.local import free_port
from tests.actors import Person
from tests.api.conftest import Api, assert_refused


@contextmanager
def server_with_reply(reply: bytes, requests: list[bytes] | None = None) -> Iterator[str]:
    """Run a server that reads one request a connection, sends these bytes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = connection.recv(65536)
                    if requests is not None:
                        requests.append(request)
                    connection.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def http(status: str, body: str) -> bytes:
    """Return an HTTP response as bytes."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()


def test_a_supabase_that_is_away_is_503(settings: Settings, client: Person) -> None:
    api = Api(replace(settings, rest_url=f"http://127.0.0.1:{free_port()}"))
    assert_refused(api.get("/api/credits/user", client), 503, "UPSTREAM_UNAVAILABLE")
    assert_refused(api.get("/readyz"), 503, "UPSTREAM_UNAVAILABLE")
    assert api.get("/healthz").status_code == 200


def test_readyz_is_200_when_supabase_postgres_functions_and_keys_answer(api: Api) -> None:
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json["data"] == {
        "status": "ok",
        "supabase": "ok",
        "postgres": "ok",
        "functions": "ok",
        "keys": "ok",
    }


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        (http("503 No", '{"code":"PGRST001","message":"x"}'), {"postgres": "away"}),
        (http("503 No", '{"code":"PGRST002","message":"x"}'), {"postgres": "away"}),
        (http("500 Error", '{"code":"XX000","message":"x"}'), {"postgres": "away"}),
        (http("502 Bad Gateway", "<html>"), {"supabase": "away"}),
        (b"", {"supabase": "away"}),
        (http("404 No", '{"code":"PGRST202","message":"x"}'), {"functions": "missing"}),
        (http("401 No", '{"message":"Invalid API key"}'), {"supabase": "answers 401"}),
    ],
)
def test_readyz_names_the_part_that_is_away(
    settings: Settings, reply: bytes, wrong: dict[str, str]
) -> None:
    with server_with_reply(reply) as url:
        refused = Api(replace(settings, rest_url=url)).get("/readyz")
    details = assert_refused(refused, 503, "UPSTREAM_UNAVAILABLE")
    assert wrong.items() <= details.items()
    assert details["keys"] == "ok"


def test_many_requests_for_readyz_call_supabase_once(settings: Settings) -> None:
    with server_with_reply(http("401 No", '{"code":"42501","message":"x"}')) as url:
        api = Api(replace(settings, rest_url=url))
        assert api.get("/readyz").status_code == 200
    # Supabase is away now; the answer of a moment ago still counts.
    assert api.get("/readyz").status_code == 200


def test_readyz_names_public_keys_that_are_away(settings: Settings) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/keys"
    api = Api(replace(settings, jwt_secret=None, jwks_url=nowhere))
    details = assert_refused(api.get("/readyz"), 503, "UPSTREAM_UNAVAILABLE")
    assert (details["functions"], details["keys"]) == ("ok", "away")


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (b"", 504, "OUTCOME_UNKNOWN"),  # cut off after the request was sent
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{", 504, "OUTCOME_UNKNOWN"),
        (http("504 Gateway Timeout", "<html>"), 504, "OUTCOME_UNKNOWN"),
        (http("502 Bad Gateway", "<html>"), 504, "OUTCOME_UNKNOWN"),
        (http("503 Unavailable", '{"code":"PGRST000"}'), 503, "UPSTREAM_UNAVAILABLE"),
        (http("503 Unavailable", '{"code":"PGRST002"}'), 503, "UPSTREAM_UNAVAILABLE"),
        (http("401 No", '{"message":"Invalid API key"}'), 503, "UPSTREAM_UNAVAILABLE"),
        (http("400 Bad", '{"code":"PTx02"}'), 503, "UPSTREAM_UNAVAILABLE"),
        # Postgres went away at the commit; PostgREST 12 answers so.
        (http("400 Bad", '{"code":"","message":""}'), 504, "OUTCOME_UNKNOWN"),
        # Postgres went away during the call, which may have been committed.
        (http("503 Unavailable", '{"code":"PGRST001"}'), 504, "OUTCOME_UNKNOWN"),
        (http("500 Error", '{"code":"57P01","message":"x"}'), 504, "OUTCOME_UNKNOWN"),
        (http("500 Error", '{"code":"57P02","message":"x"}'), 504, "OUTCOME_UNKNOWN"),
        (http("500 Error", '{"code":"08006","message":"x"}'), 504, "OUTCOME_UNKNOWN"),
        (http("500 Error", '{"code":"57014","message":"x"}'), 504, "OUTCOME_UNKNOWN"),
        (http("500 Error", '{"code":"40P01","message":"x"}'), 503, "UPSTREAM_UNAVAILABLE"),
        (
            http("401 No", '{"code":"PGRST301","message":"JWT expired"}'),
            401,
            "AUTHENTICATION_ERROR",
        ),
        (
            http("401 No", '{"code":"PGRST303","message":"JWT expired"}'),
            401,
            "AUTHENTICATION_ERROR",
        ),
        (http("403 No", '{"code":"42501","message":"x"}'), 403, "AUTHORIZATION_ERROR"),
        (http("400 Bad", '{"code":"22P02","message":"x"}'), 400, "VALIDATION_ERROR"),
        (http("404 No", '{"code":"PGRST202","message":"x"}'), 503, "UPSTREAM_UNAVAILABLE"),
    ],
)
def test_each_answer_of_supabase_becomes_its_refusal(
    settings: Settings, client: Person, reply: bytes, status: int, code: str
) -> None:
    with server_with_reply(reply) as url:
        api = Api(replace(settings, rest_url=url))
        assert_refused(api.get("/api/credits/user", client), status, code)


def test_a_hint_of_postgrest_is_never_passed_on(settings: Settings, client: Person) -> None:
    secret = "Perhaps you meant to call the function public.secret_function"
    body = f'{{"code":"PGRST202","message":"{secret}","hint":"{secret}","details":"{secret}"}}'
    with server_with_reply(http("404 Not Found", body)) as url:
        api = Api(replace(settings, rest_url=url))
        assert "secret_function" not in api.get("/api/credits/user", client).text
