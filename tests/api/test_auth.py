"""Tokens of projects with asymmetric keys: only the public keys verify them."""

import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from api.config import Settings
from scripts.local import free_port
from tests.api.conftest import ISSUER, Api, assert_refused

PRIVATE = ec.generate_private_key(ec.SECP256R1())


@dataclass
class KeyServer:
    """The address of the project's public keys, and how often they were fetched."""

    url: str
    fetches: int = 0


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    """A server of public keys, in the place of Supabase Auth."""
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE.public_key()))
    document = {"keys": [{**public, "kid": "one", "alg": "ES256", "use": "sig"}]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key_server.fetches += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key_server = KeyServer(f"http://127.0.0.1:{server.server_port}/keys")
    yield key_server
    server.shutdown()
    server.server_close()


@pytest.fixture
def asymmetric(settings: Settings, keys: KeyServer) -> Api:
    """The API of a project with asymmetric keys; nothing listens where Supabase would be."""
    return Api(
        replace(
            settings,
            jwt_secret=None,
            jwks_url=keys.url,
            rest_url=f"http://127.0.0.1:{free_port()}",
        )
    )


def claims() -> dict[str, Any]:
    """Return the claims of a good token."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": "authenticated",
        "role": "authenticated",
        "sub": str(uuid4()),
        "iat": now,
        "exp": now + 600,
    }


def send(api: Api, token: str) -> Any:
    """Ask for the credits with a token."""
    return api.http.get("/api/credits/user", headers={"Authorization": f"Bearer {token}"})


def test_a_token_signed_with_the_projects_key_passes_and_the_keys_are_fetched_once(
    asymmetric: Api, keys: KeyServer
) -> None:
    for _ in range(5):
        token = jwt.encode(claims(), PRIVATE, "ES256", headers={"kid": "one"})
        # The token passed: the call went to Supabase, which is away.
        assert_refused(send(asymmetric, token), 503, "UPSTREAM_UNAVAILABLE")
    assert keys.fetches == 1


def test_a_token_that_no_key_of_the_project_signed_is_401(asymmetric: Api) -> None:
    pem = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    other = ec.generate_private_key(ec.SECP256R1())
    rsa_key = rsa.generate_private_key(65537, 2048)
    # A token signed with the public key as the shared secret, by hand, for PyJWT refuses to.
    header = {"alg": "HS256", "typ": "JWT", "kid": "one"}
    signed = b".".join(base64url_encode(json.dumps(part).encode()) for part in (header, claims()))
    signature = base64url_encode(hmac.digest(pem, signed, "sha256"))
    confused = b".".join((signed, signature)).decode()
    for token in (
        confused,
        jwt.encode(claims(), other, "ES256", headers={"kid": "one"}),
        jwt.encode(claims(), PRIVATE, "ES256", headers={"kid": "two"}),
        jwt.encode(claims(), PRIVATE, "ES256"),
        jwt.encode(claims(), rsa_key, "RS256", headers={"kid": "one"}),
        jwt.encode(claims(), None, "none", headers={"kid": "one"}),
    ):
        assert_refused(send(asymmetric, token), 401, "AUTHENTICATION_ERROR")


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_secret_that_is_too_short_verifies_nothing(settings: Settings) -> None:
    secret, nowhere = "thirty-one letters are too few.", f"http://127.0.0.1:{free_port()}"
    api = Api(replace(settings, jwt_secret=secret, rest_url=nowhere))
    token = jwt.encode(claims(), secret, "HS256")
    assert_refused(send(api, token), 401, "AUTHENTICATION_ERROR")


def test_a_token_is_503_and_not_401_while_the_keys_cannot_be_fetched(settings: Settings) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/keys"
    api = Api(replace(settings, jwt_secret=None, jwks_url=nowhere))
    token = jwt.encode(claims(), PRIVATE, "ES256", headers={"kid": "one"})
    assert_refused(send(api, token), 503, "UPSTREAM_UNAVAILABLE")


def signed(**changes: Any) -> str:
    """Return a good token whose claims are changed."""
    return jwt.encode({**claims(), **changes}, PRIVATE, "ES256", headers={"kid": "one"})


def test_anonymous_users_are_let_in_unless_the_installation_refuses_them(
    asymmetric: Api, settings: Settings, keys: KeyServer
) -> None:
    anonymous = signed(is_anonymous=True)
    assert_refused(send(asymmetric, anonymous), 503, "UPSTREAM_UNAVAILABLE")
    strict = Api(
        replace(
            settings,
            jwt_secret=None,
            jwks_url=keys.url,
            rest_url=f"http://127.0.0.1:{free_port()}",
            refuse_anonymous=True,
        )
    )
    assert_refused(send(strict, anonymous), 403, "AUTHORIZATION_ERROR")
    # A token without the claim, as older projects issue it, is not anonymous.
    assert "is_anonymous" not in claims()
    assert_refused(send(strict, signed()), 503, "UPSTREAM_UNAVAILABLE")


@pytest.mark.parametrize("aal", [None, "aal1", "AAL2", "aal3"])
def test_a_therapist_without_the_demanded_second_factor_is_refused(
    settings: Settings, keys: KeyServer, aal: str | None
) -> None:
    api = Api(
        replace(
            settings,
            jwt_secret=None,
            jwks_url=keys.url,
            rest_url=f"http://127.0.0.1:{free_port()}",
            therapist_aal="aal2",
        )
    )

    def ask(path: str, token: str) -> Any:
        return api.http.get(path, headers={"Authorization": f"Bearer {token}"})

    weak = signed() if aal is None else signed(aal=aal)
    refused = ask("/api/therapist/clients", weak)
    assert assert_refused(refused, 403, "AUTHORIZATION_ERROR") == {"required_aal": "aal2"}
    assert "second factor" in refused.json["error"]
    # A sign-in with a second factor passes here, and one without passes elsewhere.
    assert ask("/api/therapist/clients", signed(aal="aal2")).status_code == 503
    assert ask("/api/credits/user", weak).status_code == 503
