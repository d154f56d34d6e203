"""The doctor examines the database's surroundings too: PostgREST, tokens, clocks and Daily."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from scripts.local import free_port
from scripts.operate.doctor.environment import _clock
from tests import actors, programs
from tests.actors import Connection

NOWHERE = f"http://127.0.0.1:{free_port()}"
EC_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "one",
    "alg": "ES256",
    # The public key of RFC 7515, appendix A.3.
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
Findings = list[dict[str, str]]


def examine(db: Connection, environment: dict[str, str]) -> tuple[int, Findings]:
    """Run the doctor on a database, with this environment; return its status and findings."""
    ended = programs.run("doctor", db.info.dsn, "--json", env=environment, timeout=60)
    assert ended.stderr == ""
    findings: Findings = json.loads(ended.stdout)["findings"]
    assert all(each["why"] and each["do"] for each in findings if each["level"] != "ok")
    return ended.returncode, findings


def surroundings(findings: Findings) -> list[tuple[str, str]]:
    """Return the findings on the database's surroundings."""
    return [
        (each["level"], each["what"])
        for each in findings
        if each["what"].startswith(("PostgREST", "tokens", "Daily", "DAILY", "the API", "settings"))
        or "clock" in each["what"]
    ]


@contextmanager
def answering(respond: Any) -> Iterator[str]:
    """Run an HTTP server; a function makes its answers: status, headers and body."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = respond(self.command, self.path, dict(self.headers), body)
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_doctor_reports_each_part_that_is_well(
    db: Connection, environment: dict[str, str]
) -> None:
    status, findings = examine(db, environment)

    rest = environment["SUPABASE_REST_URL"]
    assert surroundings(findings) == [
        ("ok", "the database's clock agrees with this machine's"),
        ("ok", f"PostgREST at {rest}: answers, and knows the functions"),
        ("ok", "PostgREST's clock agrees with this machine's"),
        ("ok", "tokens: verified with the shared secret (HS256)"),
        ("ok", "Daily: the key opens the domain stand-in"),
    ]
    assert [each for each in findings if each["level"] == "error"] == []
    assert status == 0


def test_only_the_database_is_examined_where_nothing_else_is_configured(db: Connection) -> None:
    _, findings = examine(db, {})

    assert surroundings(findings) == [("ok", "the database's clock agrees with this machine's")]


def test_an_environment_that_the_api_does_not_start_with_is_an_error(
    db: Connection, environment: dict[str, str]
) -> None:
    status, findings = examine(db, {**environment, "SUPABASE_JWKS_URL": f"{NOWHERE}/keys"})

    [_, (level, what)] = surroundings(findings)
    assert (status, level) == (1, "error")
    assert "SUPABASE_JWT_SECRET and SUPABASE_JWKS_URL are both set" in what


def test_each_part_that_is_away_is_an_error(db: Connection, environment: dict[str, str]) -> None:
    del environment["SUPABASE_JWT_SECRET"]
    away = {"SUPABASE_REST_URL": NOWHERE, "SUPABASE_URL": NOWHERE, "DAILY_API_URL": f"{NOWHERE}/v1"}

    status, findings = examine(db, {**environment, **away})

    assert status == 1
    assert surroundings(findings)[1:] == [
        ("error", f"PostgREST at {NOWHERE}: supabase away"),
        (
            "error",
            f"tokens: no public keys can be had from {NOWHERE}/auth/v1/.well-known/jwks.json",
        ),
        ("error", f"Daily at {NOWHERE}/v1 does not answer (ConnectError)"),
    ]


def test_a_postgrest_without_the_functions_is_an_error(
    db: Connection, environment: dict[str, str]
) -> None:
    def unknown(*_: Any) -> tuple[int, dict[str, str], bytes]:
        return 404, {"Date": formatdate(usegmt=True)}, b'{"code": "PGRST202"}'

    with answering(unknown) as url:
        status, findings = examine(db, {**environment, "SUPABASE_REST_URL": url})

    assert status == 1
    assert ("error", f"PostgREST at {url}: functions missing") in surroundings(findings)


@pytest.mark.parametrize(("seconds", "level"), [(5, "warning"), (-60, "error")])
def test_a_clock_that_differs_is_reported(
    db: Connection, environment: dict[str, str], seconds: int, level: str
) -> None:
    real = environment["SUPABASE_REST_URL"]

    def late(method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any, bytes]:
        answer = httpx.request(method, real + path, headers=headers, content=body, timeout=5)
        date = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        return answer.status_code, {"Date": formatdate(date + seconds, usegmt=True)}, answer.content

    with answering(late) as url:
        status, findings = examine(db, {**environment, "SUPABASE_REST_URL": url})

    [(found_level, what)] = [
        finding for finding in surroundings(findings) if finding[1].startswith("PostgREST's clock")
    ]
    assert found_level == level
    assert ("ahead of" if seconds > 0 else "behind") in what
    assert status == int(level == "error")


@pytest.mark.parametrize(
    ("times", "level", "what"),
    [
        ((101.0, 101.0), "ok", "agrees"),
        ((103.9, 103.9), "ok", "agrees"),
        ((105.0, 105.0), "warning", "is 3 s ahead of"),
        ((95.0, 96.0), "warning", "is 4 s behind"),
        ((111.0, 112.0), "warning", "is 9 s ahead of"),
        ((80.0, 80.0), "error", "is 20 s behind"),
    ],
)
def test_a_slow_answer_is_not_taken_for_a_wrong_clock(
    times: tuple[float, float], level: str, what: str
) -> None:
    finding = _clock("a clock", times, (100.0, 102.0))

    assert finding.level == level
    assert what in finding.what


@pytest.mark.parametrize(
    ("keys", "secret", "level", "what"),
    [
        ([EC_KEY], False, "ok", "tokens: verified with 1 public key(s)"),
        ([], False, "error", "publishes no key for ES256 or RS256"),
        ([EC_KEY], True, "warning", "tokens: SUPABASE_JWT_SECRET is set, and"),
        ([], True, "ok", "tokens: verified with the shared secret (HS256)"),
    ],
)
def test_the_way_of_verifying_tokens_is_compared_with_the_published_keys(
    db: Connection, environment: dict[str, str], keys: Any, secret: bool, level: str, what: str
) -> None:
    if not secret:
        del environment["SUPABASE_JWT_SECRET"]

    def publish(*_: Any) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, json.dumps({"keys": keys}).encode()

    with answering(publish) as url:
        _, findings = examine(db, {**environment, "SUPABASE_URL": url})

    [(found_level, found_what)] = [
        finding for finding in surroundings(findings) if finding[1].startswith("tokens")
    ]
    assert found_level == level
    assert what in found_what


def test_a_key_that_daily_refuses_is_an_error(db: Connection, environment: dict[str, str]) -> None:
    status, findings = examine(db, {**environment, "DAILY_API_KEY": "another"})

    assert status == 1
    assert surroundings(findings)[-1] == (
        "error",
        f"Daily at {environment['DAILY_API_URL']} answers 401",
    )


def test_a_domain_that_is_not_the_keys_is_reported(
    db: Connection, environment: dict[str, str]
) -> None:
    actors.configure(db, video_base_url="https://another.daily.co")
    try:
        status, findings = examine(db, {**environment, "DAILY_DOMAIN_ID": "another"})
    finally:
        actors.configure(db, video_base_url=None)

    assert status == 1
    assert surroundings(findings)[-2:] == [
        ("error", "DAILY_DOMAIN_ID is not the id of stand-in"),
        (
            "warning",
            "settings.video_base_url is https://another.daily.co; "
            "the key's rooms are at https://stand-in.daily.co",
        ),
    ]
