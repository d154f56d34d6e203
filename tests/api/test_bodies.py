"""Bodies as they come over the wire: whole, in chunks, cut off, too long, announced first."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from scripts.local.postgrest import PostgREST
from tests.actors import Connection, Person, give_credits, propose
from tests.api.conftest import SECRET, headers_of, token_of
from tests.api.serving import serving

REASON = '{"reason": "I am ill"}'
IN_CHUNKS = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def api_url(rest: PostgREST, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API as it is deployed, without video."""
    with serving(
        tmp_path_factory.mktemp("api") / "log",
        SUPABASE_URL="http://supabase.test",
        SUPABASE_REST_URL=rest.url,
        SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
        SUPABASE_JWT_SECRET=SECRET,
    ) as served:
        yield served.url


class Decline:
    """A request that declines a waiting session, written by hand."""

    def __init__(self, url: str, db: Connection, therapist: Person, client: Person) -> None:
        """Propose the session."""
        self.address = urlsplit(url)
        self.db = db
        self.token = token_of(client)
        self.session = propose(db, therapist, client)["id"]

    def send(self, framing: str, body: str, *, cut: bool = False) -> tuple[int, bytes]:
        """Send it, with a header that says where its body ends; return status and answer."""
        with socket.create_connection((self.address.hostname, self.address.port), 10) as line:
            line.sendall(
                f"POST /api/sessions/{self.session}/decline HTTP/1.1\r\nHost: test\r\n"
                f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
                f"{framing}\r\n\r\n{body}".encode()
            )
            if cut:
                line.shutdown(socket.SHUT_WR)
            answer = HTTPResponse(line)
            answer.begin()
            return answer.status, answer.read()

    @property
    def found(self) -> tuple[str, str | None]:
        """The session's status now, and the reason that was given last."""
        row = self.db.execute(
            "select e.to_status as status, e.reason from session_approval.session_events e"
            " where e.session_id = %s order by e.id desc limit 1",
            [self.session],
        ).fetchone()
        assert row is not None
        return row["status"], row["reason"]


@pytest.fixture
def decline(api_url: str, db: Connection, therapist: Person, client: Person) -> Decline:
    """A client's request that declines a waiting session."""
    return Decline(api_url, db, therapist, client)


def chunked(text: str) -> str:
    """Return a text in two chunks, and their end."""
    parts = [text[:5], text[5:], ""]
    return "".join(f"{len(part):x}\r\n{part}\r\n" for part in parts)


@pytest.mark.parametrize(
    ("framing", "body"),
    [(f"Content-Length: {len(REASON)}", REASON), (IN_CHUNKS, chunked(REASON))],
    ids=["with its length", "in chunks"],
)
def test_a_whole_body_counts_however_it_is_framed(
    decline: Decline, framing: str, body: str
) -> None:
    assert decline.send(framing, body)[0] == 200
    assert decline.found == ("cancelled", "I am ill")


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (f"Content-Length: {len(REASON)}", ""),
        (f"Content-Length: {len(REASON) + 1}", REASON),
        (IN_CHUNKS, ""),
        (IN_CHUNKS, "9\r\n" + REASON[:9]),
        (IN_CHUNKS, "9\r\n" + REASON[:9] + "\r\nno number\r\n"),
    ],
    ids=["before it began", "at its last byte", "before a chunk", "in a chunk", "by a wrong chunk"],
)
def test_a_body_that_is_cut_off_is_refused_and_nothing_is_done(
    decline: Decline, framing: str, body: str
) -> None:
    status, answer = decline.send(framing, body, cut=True)
    assert status == 400
    assert b'"code":"VALIDATION_ERROR"' in answer
    assert decline.found == ("pending_approval", None)


@pytest.mark.parametrize("in_chunks", [False, True], ids=["with its length", "in chunks"])
def test_a_body_over_64_kib_is_refused_whatever_it_begins_with(
    decline: Decline, in_chunks: bool
) -> None:
    text = REASON + " " * (64 * 1024 - len(REASON)) + "x"
    status, answer = (
        decline.send(IN_CHUNKS, chunked(text))
        if in_chunks
        else decline.send(f"Content-Length: {len(text)}", text)
    )
    assert status == 413
    assert b'"code":"PAYLOAD_TOO_LARGE"' in answer
    assert decline.found == ("pending_approval", None)


def test_a_client_that_asks_first_may_go_on(decline: Decline) -> None:
    with socket.create_connection((decline.address.hostname, decline.address.port), 10) as line:
        line.sendall(
            f"POST /api/sessions/{decline.session}/decline HTTP/1.1\r\nHost: test\r\n"
            f"Authorization: Bearer {decline.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(REASON)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert line.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n")
        line.sendall(REASON.encode())
        assert line.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert decline.found == ("cancelled", "I am ill")


def test_a_connection_is_kept_and_head_answers_without_a_body(
    api_url: str, db: Connection, client: Person
) -> None:
    give_credits(db, client)
    line = HTTPConnection(urlsplit(api_url).netloc, timeout=10)
    lengths = []
    for method in ("GET", "HEAD", "GET"):
        line.request(method, "/api/credits/user", headers=headers_of(client))
        first = line.sock  # a connection that was closed is another one
        answer = line.getresponse()
        assert answer.status == 200
        assert bool(answer.read()) == (method == "GET")
        assert line.sock is first is not None
        lengths.append(answer.getheader("Content-Length"))
    line.close()
    assert len(set(lengths)) == 1


def test_a_header_over_64_kib_is_refused_and_one_of_16_kib_is_not(api_url: str) -> None:
    def status(size: int) -> int:
        line = HTTPConnection(urlsplit(api_url).netloc, timeout=10)
        line.request("GET", "/healthz", headers={"X-Long": "x" * size})
        found = line.getresponse().status
        line.close()
        return found

    assert status(16 * 1024) == 200
    assert status(64 * 1024) == 431
