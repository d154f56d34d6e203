"""The calls to Supabase: over kept connections, as their own caller, and never sent twice."""

import datetime
import ipaddress
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api import supabase
from api.config import load_settings
from api.serving.errors import Refusal
from api.supabase import Row, Supabase
from scripts.local import free_port
from tests.api.test_upstream import http, server_with_reply

GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"


@dataclass
class Server:
    """Answers every request with these bytes; keeps the requests, by connection."""

    url: str
    reply: bytes = GOOD
    hangs_up: bool = False  # after an answer, without notice
    connections: list[list[bytes]] = field(default_factory=list)
    hung_up: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@contextmanager
def a_server(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scheme = "https" if tls else "http"
        server = Server(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")

        def serve(line: socket.socket) -> None:
            requests: list[bytes] = []
            server.connections.append(requests)
            with line:
                while request := line.recv(65536):
                    while not request.endswith(b"}"):
                        request += line.recv(65536)
                    requests.append(request)
                    line.sendall(server.reply)
                    if server.hangs_up:
                        break
            server.hung_up.release()

        def listen() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                    line = tls.wrap_socket(line, server_side=True) if tls else line
                except ssl.SSLError:
                    continue
                except OSError:
                    return
                threading.Thread(target=serve, args=(line,), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        yield server


Call = Callable[[Supabase], list[Row]]


def supabase_at(url: str) -> Supabase:
    """Return the API's way to a Supabase at this address."""
    settings = load_settings(
        {
            "SUPABASE_URL": "https://project.supabase.test",
            "SUPABASE_REST_URL": url,
            "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
            "SUPABASE_SECRET_KEY": "older.secret.key",
        }
    )
    return Supabase(settings)


def call(calls: Supabase) -> list[Row]:
    """Call as a person."""
    return calls.call("a.persons.token", "x", {})


def call_as_server(calls: Supabase) -> list[Row]:
    """Call with the secret key."""
    return calls.call_as_server("x", {})


def refusal_of(calls: Supabase, caller: Call = call) -> tuple[int, str]:
    """Call, and return the refusal that this raises."""
    with pytest.raises(Refusal) as refused:
        caller(calls)
    return refused.value.status, refused.value.code


AWAY = (503, "UPSTREAM_UNAVAILABLE")
UNKNOWN = (504, "OUTCOME_UNKNOWN")
BOTH_CALLERS = pytest.mark.parametrize("caller", [call, call_as_server])


def test_calls_one_after_another_share_a_connection() -> None:
    with a_server() as server:
        calls = supabase_at(server.url)
        assert [caller(calls) for caller in (call, call_as_server, call)] == [[], [], []]
        [requests] = server.connections
        assert len(requests) == 3
        assert all(request.startswith(b"POST /rpc/x HTTP/1.1\r\n") for request in requests)


def test_a_connection_that_supabase_closed_is_not_used_again() -> None:
    with a_server() as server:
        server.hangs_up = True
        calls = supabase_at(server.url)
        for _ in range(3):
            assert call(calls) == []
            server.hung_up.acquire(timeout=5)
        assert [len(requests) for requests in server.connections] == [1, 1, 1]


@BOTH_CALLERS
@pytest.mark.parametrize("reply", [b"", GOOD[:-1], b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n"])
def test_a_call_whose_connection_broke_is_not_sent_again(reply: bytes, caller: Call) -> None:
    with a_server() as server:
        server.reply, server.hangs_up = reply, True
        assert refusal_of(supabase_at(server.url), caller) == UNKNOWN
        assert [len(requests) for requests in server.connections] == [1]


@BOTH_CALLERS
def test_a_call_that_is_answered_with_503_is_not_sent_again(caller: Call) -> None:
    with a_server() as server:
        server.reply = b"HTTP/1.1 503 No\r\nContent-Length: 21\r\n\r\n" + b'{"code": "PGRST002"} '
        assert refusal_of(supabase_at(server.url), caller) == AWAY
        assert [len(requests) for requests in server.connections] == [1]


def test_a_redirect_is_not_followed() -> None:
    with a_server() as server, a_server() as elsewhere:
        there = elsewhere.url.encode()
        server.reply = b"HTTP/1.1 307 X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % there
        assert refusal_of(supabase_at(server.url)) == AWAY
        assert elsewhere.connections == []


@pytest.mark.parametrize("body", [b"<html>", b"[{"])
def test_an_answer_that_is_not_json_leaves_the_outcome_unknown(body: bytes) -> None:
    with a_server() as server:
        server.reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        assert refusal_of(supabase_at(server.url)) == UNKNOWN


@BOTH_CALLERS
def test_a_missing_answer_leaves_the_outcome_unknown(
    monkeypatch: pytest.MonkeyPatch, caller: Call
) -> None:
    monkeypatch.setattr(supabase, "RPC_TIMEOUT", 0.2)
    with a_server() as server:
        server.reply = GOOD[:20]
        calls = supabase_at(server.url)
        assert refusal_of(calls, caller) == UNKNOWN
        server.reply = GOOD
        assert caller(calls) == []  # and not on that connection
        assert [len(requests) for requests in server.connections] == [1, 1]


@BOTH_CALLERS
def test_a_refused_connection_means_that_nothing_was_done(caller: Call) -> None:
    assert refusal_of(supabase_at(f"http://127.0.0.1:{free_port()}"), caller) == AWAY


def test_a_token_with_a_line_break_is_not_sent() -> None:
    with a_server() as server:
        calls = supabase_at(server.url)
        with pytest.raises(Refusal):
            calls.call("x\r\nX-Evil: 1", "x", {})
        assert call(calls) == []
        requests = [request for requests in server.connections for request in requests]
        assert [b"X-Evil" in request for request in requests] == [False]


def test_each_of_many_calls_at_once_carries_its_own_token() -> None:
    def call_as(number: int) -> None:
        if number % 5:
            calls.call(f"token-{number}", "x", {"p_number": number})
        else:
            calls.call_as_server("x", {"p_number": number})

    with a_server() as server, ThreadPoolExecutor(8) as threads:
        calls = supabase_at(server.url)
        list(threads.map(call_as, range(400)))

    requests = [request.decode() for requests in server.connections for request in requests]
    assert len(requests) == 400
    for request in requests:
        number = json.loads(request.partition("\r\n\r\n")[2])["p_number"]
        [token] = re.findall(r"^authorization: Bearer (.*)\r$", request, re.M | re.I)
        [apikey] = re.findall(r"^apikey: (.*)\r$", request, re.M | re.I)
        as_server = ("older.secret.key", "older.secret.key")
        as_person = (f"token-{number}", "sb_publishable_x")
        assert (token, apikey) == (as_person if number % 5 else as_server)


def test_a_cookie_of_one_answer_is_not_sent_with_the_next_call() -> None:
    with a_server() as server:
        server.reply = GOOD.replace(b"Content-Type", b"Set-Cookie: who=somebody\r\nContent-Type")
        calls = supabase_at(server.url)
        for caller in (call, call_as_server, call):
            caller(calls)
        requests = [request.lower() for requests in server.connections for request in requests]
        assert [b"cookie" in request for request in requests] == [False] * 3


def test_nothing_is_sent_to_a_server_with_an_unknown_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, tls = a_certificate(tmp_path)
    with a_server(tls) as server:
        assert refusal_of(supabase_at(server.url)) == AWAY
        assert server.connections == []

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        calls = supabase_at(server.url)
        assert [call(calls) for _ in range(2)] == [[], []]
        assert [len(requests) for requests in server.connections] == [2]


def test_calls_go_through_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with a_server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        calls = supabase_at("http://supabase.test")
        assert [caller(calls) for caller in (call, call_as_server)] == [[], []]
        requests = [request for requests in proxy.connections for request in requests]
        starts = [request.partition(b"\r\n")[0] for request in requests]
        assert starts == [b"POST http://supabase.test/rpc/x HTTP/1.1"] * 2

        with a_server() as server:
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert call(supabase_at(server.url)) == []
            assert [len(requests) for requests in server.connections] == [1]


def test_a_proxys_refusal_means_that_nothing_was_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with server_with_reply(http("403 No", "")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert refusal_of(supabase_at("https://supabase.test")) == AWAY


def a_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a self-signed certificate for 127.0.0.1, and a server's TLS context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    both = folder / "both.pem"
    pem = serialization.Encoding.PEM
    both.write_bytes(
        made.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate = folder / "certificate.pem"
    certificate.write_bytes(made.public_bytes(pem))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(both)
    return certificate, tls
