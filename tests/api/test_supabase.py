"""The connections to Supabase: kept, checked before they are used again, and never asked twice."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api import wire
from api.wire import Wire
from scripts.local import free_port

GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"


@dataclass
class Server:
    """Answers every request with these bytes; remembers what it heard, by connection."""

    url: str
    reply: bytes = GOOD
    hangs_up: bool = False  # after an answer, without a word
    heard: list[list[bytes]] = field(default_factory=list)
    hung_up: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@contextmanager
def a_server(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scheme = "https" if tls else "http"
        server = Server(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")

        def serve(line: socket.socket) -> None:
            heard: list[bytes] = []
            server.heard.append(heard)
            with line:
                while request := line.recv(65536):
                    while not request.endswith(b"{}"):
                        request += line.recv(65536)
                    heard.append(request)
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


def ask(way: Wire, url: str) -> httpx.Response:
    """Send a call as postgrest does."""
    return way.request(
        "POST", f"{url}/rpc/x", headers=httpx.Headers({"apikey": "k"}), content=b"{}"
    )


def test_calls_one_after_another_share_a_connection() -> None:
    with a_server() as server:
        way = Wire(server.url)
        assert [ask(way, server.url).json() for _ in range(3)] == [[], [], []]
        [heard] = server.heard
        assert len(heard) == 3
        assert heard[0].startswith(b"POST /rpc/x HTTP/1.1\r\n")


def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    with a_server() as server:
        server.hangs_up = True
        way = Wire(server.url)
        for _ in range(3):
            assert ask(way, server.url).status_code == 200
            server.hung_up.acquire(timeout=5)
        assert [len(heard) for heard in server.heard] == [1, 1, 1]


@pytest.mark.parametrize("reply", [b"", GOOD[:-1], b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n"])
def test_a_call_whose_connection_broke_is_not_sent_again(reply: bytes) -> None:
    with a_server() as server:
        server.reply, server.hangs_up = reply, True
        with pytest.raises(httpx.TransportError):
            ask(Wire(server.url), server.url)
        assert [len(heard) for heard in server.heard] == [1]


def test_an_answer_that_does_not_come_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "RPC_TIMEOUT", 0.2)
    with a_server() as server:
        server.reply = GOOD[:20]
        way = Wire(server.url)
        with pytest.raises(httpx.ReadTimeout):
            ask(way, server.url)
        server.reply = GOOD
        assert ask(way, server.url).status_code == 200  # and not on that connection


def test_an_address_where_nobody_listens_is_a_connection_that_was_not_made() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(httpx.ConnectError):
        ask(Wire(nowhere), nowhere)


def test_a_line_break_cannot_smuggle_a_header() -> None:
    with a_server() as server:
        way = Wire(server.url)
        headers = httpx.Headers({"Authorization": "Bearer x\r\nX-Evil: 1"})
        with pytest.raises(ValueError, match="Invalid header value"):
            way.request("POST", f"{server.url}/rpc/x", headers=headers, content=b"{}")
        assert ask(way, server.url).status_code == 200
        assert not any(b"X-Evil" in request for heard in server.heard for request in heard)


def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, tls = a_certificate(tmp_path)
    with a_server(tls) as server:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            ask(Wire(server.url), server.url)
        assert server.heard == []

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        way = Wire(server.url)
        assert [ask(way, server.url).status_code for _ in range(2)] == [200, 200]
        assert [len(heard) for heard in server.heard] == [2]


def test_a_proxy_of_the_environment_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(Wire("http://supabase.test"), "http://supabase.test").status_code == 200
        assert proxy.heard[0][0].startswith(b"POST http://supabase.test/rpc/x HTTP/1.1\r\n")

        with a_server() as server:
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert ask(Wire(server.url), server.url).status_code == 200
            assert [len(heard) for heard in server.heard] == [1]


def a_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for 127.0.0.1 that vouches for itself, and a server's side of it."""
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
