"""Forged tokens: each is refused with 401, and no call to Supabase is made."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, get_default_algorithms

from api import create_app
from api.config import load_settings
from tests.api.serving import serving

SECRET = "a secret of this project, longer than thirty-two characters"
URL = "http://supabase.test"
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
STRANGERS = {  # keys that are not the project's
    "HS256": "a secret of somebody else's, which is long enough as well",
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(65537, 2048),
}
KEYS: dict[str, Any] = {"HS256": SECRET, "ES256": EC, "RS256": RSA}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


def b64(raw: bytes) -> str:
    """Encode as JOSE does."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk_of(key: Any, kid: str) -> dict[str, Any]:
    """Return a key as a project publishes it."""
    maker = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
    alg = "ES256" if maker is ECAlgorithm else "RS256"
    return {**maker.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": alg, "use": "sig"}


class Server:
    """Stands in for Supabase: publishes the project's keys, and records the calls."""

    def __init__(self) -> None:
        """Listen on a port of its own."""
        self.calls: list[str] = []
        self.key_fetches = 0
        recorded = self
        published = {
            "keys": [
                jwk_of(EC, "ES256"),
                jwk_of(RSA, "RS256"),
                # Keys that must never verify a token, though the project publishes them.
                {"kty": "oct", "kid": "oct", "alg": "HS256", "k": b64(SECRET.encode())},
                {**jwk_of(EC, "for-encryption"), "use": "enc"},
                {**jwk_of(EC, "of-another-alg"), "alg": "ES384"},
            ]
        }

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                recorded.calls.append(self.path)
                self._answer([])

            def do_GET(self) -> None:
                if self.path == "/keys":
                    recorded.key_fetches += 1
                    self._answer(published)
                else:  # such as the address in a jku
                    recorded.calls.append(self.path)
                    self._answer({"keys": [jwk_of(STRANGERS["ES256"], "stranger")]})

            def _answer(self, body: object) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@dataclass
class Project:
    """A project that signs with one algorithm, and tokens signed with its key."""

    alg: str
    http: FlaskClient
    server: Server

    @property
    def key(self) -> Any:
        """The key that signs its good tokens."""
        return KEYS[self.alg]

    @property
    def stranger(self) -> Any:
        """A key of the same kind that is not the project's."""
        return STRANGERS[self.alg]

    def header(self, **changes: Any) -> dict[str, Any]:
        """Return a good header with changes; a change to ... leaves the name out."""
        return changed({"alg": self.alg, "typ": "JWT", "kid": self.alg}, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims with changes; a change to ... leaves the name out."""
        now = int(time.time())
        good = {
            "iss": f"{URL}/auth/v1",
            "aud": "authenticated",
            "role": "authenticated",
            "sub": str(uuid4()),
            "iat": now,
            "exp": now + 600,
            "aal": "aal1",
            "is_anonymous": False,
        }
        return changed(good, changes)

    def token(
        self, header: Any = None, claims: Any = None, key: Any = None, alg: str | None = None
    ) -> str:
        """Sign a header and a payload, which are objects or bytes."""
        header = self.header() if header is None else header
        claims = self.claims() if claims is None else claims
        parts = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in (header, claims)]
        signed = ".".join(map(b64, parts))
        return f"{signed}.{b64(sign(alg or self.alg, key or self.key, signed))}"

    def send(self, *authorizations: str, **more: Any) -> Any:
        """Ask for the credits with these Authorization headers."""
        headers = [("Authorization", value) for value in authorizations]
        return self.http.get("/api/credits/user", headers=headers, **more)


def changed(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a dictionary with changes, without what is changed to an ellipsis."""
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def sign(alg: str, key: Any, signed: str) -> bytes:
    """Sign as the algorithm does."""
    if alg.startswith("HS"):
        raw = key if isinstance(key, bytes) else str(key).encode()
        return hmac.digest(raw, signed.encode(), f"sha{alg[2:]}")
    algorithm = get_default_algorithms()[alg]
    return bytes(algorithm.sign(signed.encode(), algorithm.prepare_key(key)))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The stand-in for Supabase."""
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture(scope="module", params=["HS256", "ES256", "RS256"])
def project(request: pytest.FixtureRequest, server: Server) -> Project:
    """A project of each kind."""
    environment = {
        "SUPABASE_URL": URL,
        "SUPABASE_REST_URL": server.url,
        "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_test",
    }
    if request.param == "HS256":
        environment["SUPABASE_JWT_SECRET"] = SECRET
    else:
        environment["SUPABASE_JWKS_URL"] = f"{server.url}/keys"
    http = create_app(load_settings(environment)).test_client(use_cookies=False)
    return Project(request.param, http, server)


# A forgery makes one token, or whole Authorization headers.
Forged = str | list[str]
Forgery = Callable[[Project], Forged] | Forged
FORGERIES: dict[str, Forgery] = {}


def claim(name: str, label: str, value: Any) -> None:
    """Forge one claim, in a token that is signed with the project's own key."""
    FORGERIES[f"claim-{name}-{label}"] = lambda p: p.token(claims=p.claims(**{name: value}))


def header(label: str, key: str = "key", **changes: Any) -> None:
    """Forge the header, signed with the project's own key or a stranger's."""
    FORGERIES[f"header-{label}"] = lambda p: p.token(p.header(**changes), key=getattr(p, key))


for required in ("iss", "aud", "role", "sub", "iat", "exp"):
    claim(required, "missing", ...)
    claim(required, "null", None)
    claim(required, "object", {"a": 1})
    claim(required, "list", [])
    claim(required, "true", True)
for clock in ("exp", "iat", "nbf"):
    claim(clock, "text", str(int(time.time())))
    claim(clock, "fraction", time.time() + 0.5)
    claim(clock, "words", "tomorrow")
    claim(clock, "infinite", float("inf"))
    claim(clock, "not-a-number", float("nan"))
    claim(clock, "beyond-any-clock", 10**4000)
    claim(clock, "beyond-whole-numbers-of-json", 2**53)
claim("nbf", "null", None)
claim("nbf", "true", True)
claim("exp", "zero", 0)
claim("exp", "negative", -1)
claim("exp", "long-over", int(time.time()) - 86400)
claim("iat", "in-the-future", int(time.time()) + 3600)
claim("nbf", "in-the-future", int(time.time()) + 3600)
for clock, seconds in (("exp", -11), ("iat", 13), ("nbf", 13)):  # the leeway is 10
    FORGERIES[f"claim-{clock}-just-beyond-the-leeway"] = lambda p, clock=clock, seconds=seconds: (
        p.token(claims=p.claims(**{clock: int(time.time()) + seconds}))
    )
for value in ("service_role", "anon", "", "Authenticated", "authenticated ", "postgres"):
    claim("role", repr(value), value)
claim("role", "list-of-the-right-one", ["authenticated"])
claim("role", "number", 1)
for value in ("anon", "", "Authenticated", "authenticated ", "authenticated,anon", "service_role"):
    claim("aud", repr(value), value)
claim("aud", "list-of-the-right-one", ["authenticated"])
claim("aud", "list-with-the-right-one", ["other", "authenticated"])
for value in (URL, f"{URL}/auth/v1/", f"{URL.upper()}/auth/v1", "https://evil.test/auth/v1", ""):
    claim("iss", repr(value), value)
claim("iss", "list-of-the-right-one", [f"{URL}/auth/v1"])
NIL = "00000000-0000-4000-8000-000000000001"
for label, value in {
    "empty": "",
    "a-word": "admin",
    "a-number": 1,
    "braces": f"{{{NIL}}}",
    "urn": f"urn:uuid:{NIL}",
    "no-hyphens": NIL.replace("-", ""),
    "newline": f"{NIL}\n",
    "nul": f"{NIL}\x00",
    "two": f"{NIL},{NIL}",
    "sql": f"{NIL}' or '1'='1",
    "path": "../../service_role",
    "full-width-digits": NIL.replace("0", "０"),  # noqa: RUF001 - that is the attack
}.items():
    claim("sub", label, value)
claim("is_anonymous", "text", "false")
claim("aal", "list", ["aal2"])
claim("jti", "number", 7)

for none in ("none", "None", "NONE", "nOnE"):
    FORGERIES[f"alg-{none}-unsigned"] = lambda p, none=none: (
        ".".join(b64(json.dumps(part).encode()) for part in (p.header(alg=none), p.claims())) + "."
    )
    header(f"alg-{none}-signed", alg=none)
    FORGERIES[f"alg-{none}-without-a-dot"] = lambda p, none=none: ".".join(
        b64(json.dumps(part).encode()) for part in (p.header(alg=none), p.claims())
    )
for label, value in {
    "missing": ...,
    "null": None,
    "empty": "",
    "list": ["HS256", "ES256", "RS256"],
    "object": {},
    "number": 256,
    "lower-case": "hs256",
    "blank": "HS256 ",
    "RSA-OAEP": "RSA-OAEP",
    "dir": "dir",
}.items():
    header(f"alg-{label}", alg=value)
for other in ("HS384", "HS512"):
    FORGERIES[f"alg-{other}"] = lambda p, other=other: p.token(
        p.header(alg=other), key=SECRET, alg=other
    )
for other in ("PS256", "RS384", "RS512"):
    FORGERIES[f"alg-{other}"] = lambda p, other=other: p.token(
        p.header(alg=other, kid="RS256"), key=RSA, alg=other
    )
FORGERIES["alg-EdDSA"] = lambda p: p.token(
    p.header(alg="EdDSA"), key=ed25519.Ed25519PrivateKey.generate(), alg="EdDSA"
)
FORGERIES["alg-of-the-other-key"] = lambda p: p.token(
    p.header(alg="RS256", kid="ES256"), key=STRANGERS["RS256"], alg="RS256"
)
FORGERIES["the-other-key-under-this-kid"] = lambda p: p.token(
    p.header(alg="ES256", kid="RS256"), key=STRANGERS["ES256"], alg="ES256"
)

# Tokens signed with a public key as the shared secret.
for key_name, key in (("ES256", EC), ("RS256", RSA)):
    public = key.public_key()
    for form, secret in {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "pem-stripped": public.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ).strip(),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(jwk_of(key, key_name)).encode(),
    }.items():
        FORGERIES[f"public-{key_name}-{form}-as-secret"] = (
            lambda p, secret=secret, key_name=key_name: p.token(
                p.header(alg="HS256", kid=key_name), key=secret, alg="HS256"
            )
        )
for guess in (b"", b"secret", b"super-secret-jwt-token-with-at-least-32-characters-long", b"null"):
    FORGERIES[f"secret-{guess.decode()[:12]}"] = lambda p, guess=guess: p.token(
        p.header(alg="HS256"), key=guess or b"\x00", alg="HS256"
    )
FORGERIES["a-published-secret-is-no-key"] = lambda p: (
    p.token(p.header(alg="HS256", kid="oct"), key=SECRET, alg="HS256")
    if p.alg != "HS256"
    else p.token(key=p.stranger)
)
for odd in ("for-encryption", "of-another-alg"):
    FORGERIES[f"a-key-{odd}"] = lambda p, odd=odd: (
        p.token(p.header(alg="ES256", kid=odd), key=EC, alg="ES256")
        if p.alg != "HS256"
        else p.token(key=p.stranger)
    )

# Headers that bring a key along: signed with that key, and with the project's own.
for who in ("stranger", "key"):
    header(f"jwk-by-{who}", who, jwk=jwk_of(STRANGERS["ES256"], "x"))
    FORGERIES[f"header-jku-by-{who}"] = lambda p, who=who: p.token(
        p.header(jku=f"{p.server.url}/evil", kid="stranger" if who == "stranger" else p.alg),
        key=getattr(p, who),
    )
    FORGERIES[f"header-x5u-by-{who}"] = lambda p, who=who: p.token(
        p.header(x5u=f"{p.server.url}/evil"), key=getattr(p, who)
    )
    header(f"x5c-by-{who}", who, x5c=["MIIB"])
    header(f"crit-by-{who}", who, crit=["exp"])
header("crit-empty", crit=[])
header("crit-b64", crit=["b64"], b64=False)
header("b64-false", b64=False)
header("zip", zip="DEF")
header("enc", enc="A256GCM")

# Names of keys that lead nowhere, or to another key.
for label, kid in {
    "path": "../../../../dev/null",
    "file": "/proc/sys/kernel/randomize_va_space",
    "url": "https://evil.test/keys",
    "sql": "x' union select 'secret' --",
    "command": "one|/usr/bin/id",
    "very-long": "k" * 5000,
    "empty": "",
    "nul": "ES256\x00",
    "unknown": "unknown",
    "blank": " ES256",
    "right": "ES256",
}.items():
    header(f"kid-{label}-stranger", "stranger", kid=kid)
    FORGERIES[f"kid-{label}-empty-secret"] = lambda p, kid=kid: p.token(
        p.header(alg="HS256", kid=kid), key=b"\x00", alg="HS256"
    )
for label, kid in {"number": 1, "null-list": [None], "object": {}, "list": ["ES256"]}.items():
    header(f"kid-{label}", kid=kid)


def with_parts(edit: Callable[[list[str]], str]) -> Callable[[Project], str]:
    """Change the parts of a good token."""
    return lambda p: edit(p.token().split("."))


def flipped(text: str, at: int) -> str:
    """Change one character in the middle of a segment."""
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


FORGERIES |= {
    "signature-missing": with_parts(lambda t: f"{t[0]}.{t[1]}"),
    "signature-empty": with_parts(lambda t: f"{t[0]}.{t[1]}."),
    "signature-altered-first": with_parts(lambda t: f"{t[0]}.{t[1]}.{flipped(t[2], 0)}"),
    "signature-altered-middle": with_parts(lambda t: f"{t[0]}.{t[1]}.{flipped(t[2], 20)}"),
    "signature-truncated": with_parts(lambda t: f"{t[0]}.{t[1]}.{t[2][:-4]}"),
    "signature-longer": with_parts(lambda t: f"{t[0]}.{t[1]}.{t[2]}AAAA"),
    "signature-of-another-token": lambda p: (
        p.token().rpartition(".")[0] + "." + p.token(p.header(typ=...)).rpartition(".")[2]
    ),
    "signature-of-a-stranger": lambda p: p.token(key=p.stranger),
    "signature-zeros": with_parts(lambda t: f"{t[0]}.{t[1]}.{b64(bytes(64))}"),
    "signature-r-and-s-are-the-order": with_parts(
        lambda t: f"{t[0]}.{t[1]}.{b64(ORDER.to_bytes(32, 'big') * 2)}"
    ),
    "signature-ones": with_parts(lambda t: f"{t[0]}.{t[1]}.{b64(bytes([255]) * 64)}"),
    "signature-zeros-of-rsa": with_parts(lambda t: f"{t[0]}.{t[1]}.{b64(bytes(256))}"),
    "signature-one-of-rsa": with_parts(lambda t: f"{t[0]}.{t[1]}.{b64(bytes(255) + bytes([1]))}"),
    "signature-as-der": with_parts(
        lambda t: f"{t[0]}.{t[1]}.{b64(encode_dss_signature(1, 1))}",
    ),
    "payload-altered": lambda p: (
        lambda t: f"{t[0]}.{b64(json.dumps(p.claims()).encode())}.{t[2]}"
    )(p.token().split(".")),
    "header-altered": with_parts(lambda t: f"{b64(b'{}')}.{t[1]}.{t[2]}"),
    "header-missing": with_parts(lambda t: f".{t[1]}.{t[2]}"),
    "payload-missing": with_parts(lambda t: f"{t[0]}..{t[2]}"),
    "padding": with_parts(lambda t: f"{t[0]}.{t[1]}.{t[2]}="),
    "padding-twice": with_parts(lambda t: f"{t[0]}.{t[1]}.{t[2]}=="),
    "dot-before": with_parts(lambda t: "." + ".".join(t)),
    "dot-after": with_parts(lambda t: ".".join(t) + "."),
    "dots-only": "..",
    "four-parts": with_parts(lambda t: ".".join([*t, t[2]])),
    "five-parts-as-jwe": ".".join(
        [b64(b'{"alg":"dir","enc":"A256GCM"}'), "", b64(bytes(12)), b64(bytes(80)), b64(bytes(16))]
    ),
    "five-parts-filled-as-jwe": ".".join(
        [b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), *(b64(bytes(n)) for n in (256, 12, 80, 16))]
    ),
    "blank-inside": with_parts(lambda t: f"{t[0]}. {t[1]}.{t[2]}"),
    "tab-inside": with_parts(lambda t: f"{t[0]}.\t{t[1]}.{t[2]}"),
    "standard-base64": with_parts(lambda t: f"{t[0]}.{t[1]}.+/{t[2][2:]}"),
    "percent-encoded": with_parts(lambda t: f"{t[0]}%2E{t[1]}%2E{t[2]}"),
    "letters-beyond-ascii": with_parts(lambda t: f"{t[0]}.{t[1]}.é{t[2][1:]}"),
    "cut-in-the-payload": lambda p: p.token()[: len(p.token()) // 2],
    "the-json-itself": lambda p: json.dumps(p.claims()),
    "null": "null",
    "undefined": "undefined",
    "a-secret-key": "sb_secret_0123456789abcdef",
    # JSON that two readers read differently, or that cannot be read.
    "role-twice": lambda p: p.token(
        claims=json.dumps(p.claims())[:-1].encode() + b',"role":"authenticated"}'
    ),
    "service-role-first": lambda p: p.token(
        claims=b'{"role":"service_role",' + json.dumps(p.claims())[1:].encode()
    ),
    "sub-twice": lambda p: p.token(
        claims=json.dumps(p.claims())[:-1].encode() + f',"sub":"{NIL}"}}'.encode()
    ),
    "escaped-name-twice": lambda p: p.token(
        claims=b'{"r\\u006fle":"service_role",' + json.dumps(p.claims())[1:].encode()
    ),
    "alg-twice": lambda p: p.token(b'{"alg":"none",' + json.dumps(p.header())[1:].encode()),
    "payload-list": lambda p: p.token(claims=[p.claims()]),
    "payload-text": lambda p: p.token(claims=b'"authenticated"'),
    "payload-null": lambda p: p.token(claims=b"null"),
    "payload-not-json": lambda p: p.token(claims=b"role=authenticated"),
    "payload-cut": lambda p: p.token(claims=json.dumps(p.claims())[:-1].encode()),
    "payload-not-utf8": lambda p: p.token(claims=b'{"sub":"\xff\xfe"}'),
    "payload-with-a-bom": lambda p: p.token(claims=json.dumps(p.claims()).encode("utf-8-sig")),
    "payload-utf16": lambda p: p.token(claims=json.dumps(p.claims()).encode("utf-16")),
    "payload-deep": lambda p: p.token(claims=b"[" * 5000),
    "header-list": lambda p: p.token(header=[p.header()]),
    "header-text": lambda p: p.token(header=b'"HS256"'),
    "header-deep": lambda p: p.token(header=b"[" * 5000),
    "oversize": lambda p: p.token(claims=p.claims(app_metadata={"x": "y" * 8192})),
    # Other Authorization headers.
    "no-header": [],
    "header-empty": [""],
    "scheme-alone": ["Bearer"],
    "scheme-and-blank": ["Bearer "],
    "no-scheme": lambda p: [p.token()],
    "scheme-basic": lambda p: [f"Basic {p.token()}"],
    "scheme-twice": lambda p: [f"Bearer Bearer {p.token()}"],
    "scheme-glued": lambda p: [f"Bearer{p.token()}"],
    "scheme-and-tab": lambda p: [f"Bearer\t{p.token()}"],
    "scheme-and-colon": lambda p: [f"Bearer: {p.token()}"],
    "words-after": lambda p: [f"Bearer {p.token()} x"],
    "quoted": lambda p: [f'Bearer "{p.token()}"'],
    "two-tokens": lambda p: [f"Bearer {p.token()},Bearer {p.token()}"],
    "two-headers": lambda p: [f"Bearer {p.token()}", f"Bearer {p.token()}"],
    "two-headers-the-second-bad": lambda p: [f"Bearer {p.token()}", "Bearer x"],
    "two-headers-the-first-bad": lambda p: ["Basic eDp5", f"Bearer {p.token()}"],
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_token_is_401_and_makes_no_call(project: Project, forgery: Forgery) -> None:
    forged = forgery(project) if callable(forgery) else forgery
    headers = [f"Bearer {forged}"] if isinstance(forged, str) else forged
    before = len(project.server.calls)

    response = project.send(*headers)

    assert response.status_code == 401, response.text
    assert response.json["code"] == "AUTHENTICATION_ERROR"
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert project.server.calls[before:] == []


@pytest.mark.parametrize(
    "good",
    [
        lambda _: {},
        lambda now: {"exp": now - 8},
        lambda now: {"iat": now + 8},
        lambda now: {"nbf": now + 8},
        lambda now: {"nbf": now - 600},
        lambda _: {"aal": ..., "is_anonymous": ...},
        lambda _: {"is_anonymous": True},
        lambda _: {"sub": NIL.upper()},
        lambda _: {"user_metadata": {"role": "service_role"}, "session_id": str(uuid4())},
    ],
    ids=[
        "plain",
        "expired-within-the-leeway",
        "issued-by-a-clock-ahead",
        "valid-by-a-clock-ahead",
        "valid-for-long",
        "older-supabase",
        "anonymous",
        "upper-case",
        "metadata",
    ],
)
def test_a_good_token_passes(project: Project, good: Callable[[int], dict[str, Any]]) -> None:
    before = len(project.server.calls)
    changes = good(int(time.time()))
    project.send(f"Bearer {project.token(claims=project.claims(**changes))}")
    assert project.server.calls[before:] == ["/rpc/get_credits"]


def test_a_token_may_have_8_kib_and_no_more(project: Project) -> None:
    def token(padding: int) -> str:
        return project.token(claims=project.claims(app_metadata={"x": "y" * padding}))

    padding = (8192 - len(token(0))) * 3 // 4 - 4
    while len(longer := token(padding + 1)) <= 8192:
        padding += 1
    before = len(project.server.calls)

    for each in (token(padding), longer):
        project.send(f"Bearer {each}")

    assert project.server.calls[before:] == ["/rpc/get_credits"]


def test_a_token_outside_the_authorization_header_does_not_count(project: Project) -> None:
    token = project.token()
    before = len(project.server.calls)
    answers = [
        project.send(query_string={"access_token": token}),
        project.http.get("/api/credits/user", headers={"Cookie": f"sb-access-token={token}"}),
        project.http.get("/api/credits/user", headers={"apikey": token}),
        project.http.get("/api/credits/user", headers={"X-Authorization": f"Bearer {token}"}),
        project.http.post("/api/sessions/approve", json={"access_token": token}),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert project.server.calls[before:] == []


def test_the_web_server_does_not_join_two_authorization_headers(
    server: Server, log_file: Path
) -> None:
    project = Project("HS256", None, server)  # type: ignore[arg-type] - a process serves it
    good = project.token()
    long = project.token(claims=project.claims(app_metadata={"x": "y" * 8192}))
    before = len(server.calls)
    with serving(
        log_file,
        SUPABASE_URL=URL,
        SUPABASE_REST_URL=server.url,
        SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
        SUPABASE_JWT_SECRET=SECRET,
    ) as served:
        for headers in (
            [("Authorization", f"Bearer {good}")] * 2,
            [("Authorization", f"Bearer {good}"), ("authorization", "Bearer x")],
            [("Authorization", "Basic eDp5"), ("Authorization", f"Bearer {good}")],
            [("Authorization", f"Bearer {long}")],
        ):
            answer = httpx.get(f"{served.url}/api/credits/user", headers=headers)
            assert answer.status_code == 401, answer.text
    assert server.calls[before:] == []


def test_all_forgeries_together_fetch_the_keys_at_most_four_times(
    server: Server, project: Project
) -> None:
    project.send(f"Bearer {project.token()}")
    assert len(FORGERIES) >= 60
    assert server.key_fetches <= 4  # two applications: each once, and once for unknown names
