"""Verified tokens are remembered; their end and their key are checked every time."""

import time
from dataclasses import replace
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.config import Settings
from api.identity import tokens
from api.identity.tokens import LEEWAY_SECONDS, TokenVerifier
from api.serving.errors import Refusal
from tests.api.test_jwks import KeyServer

PRIVATE = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def signed(settings: Settings) -> str:
    """A token that the project's secret signed."""
    assert settings.jwt_secret is not None
    return jwt.encode(claims(settings), settings.jwt_secret, algorithm="HS256")


def claims(settings: Settings) -> dict[str, object]:
    """Return the claims of a client's token."""
    now = int(time.time())
    return {
        "iss": settings.jwt_issuer,
        "aud": "authenticated",
        "role": "authenticated",
        "sub": "00000000-0000-4000-8000-000000000011",
        "iat": now,
        "exp": now + 600,
        "aal": "aal1",
    }


def test_a_token_is_verified_once_and_remembered(settings: Settings, signed: str) -> None:
    verifier = TokenVerifier(settings)
    assert verifier.verify(signed) is verifier.verify(signed)


def test_a_remembered_token_is_refused_once_it_expires(
    settings: Settings, signed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = TokenVerifier(settings)
    end = verifier.verify(signed).exp + LEEWAY_SECONDS

    monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: end - 0.1))
    assert verifier.verify(signed)
    monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: end))
    with pytest.raises(Refusal, match="Please sign in"):
        verifier.verify(signed)


def test_a_remembered_token_with_another_signature_is_refused(
    settings: Settings, signed: str
) -> None:
    verifier = TokenVerifier(settings)
    verifier.verify(signed)
    head, _, signature = signed.rpartition(".")
    forged = f"{head}.{signature[::-1]}"
    for _ in range(2):
        with pytest.raises(Refusal, match="Please sign in"):
            verifier.verify(forged)


def test_a_remembered_token_is_refused_once_its_key_is_withdrawn(settings: Settings) -> None:
    server = KeyServer()
    now = [1000.0]
    try:
        server.document = key_set("one")
        verifier = TokenVerifier(replace(settings, jwt_secret=None, jwks_url=server.url))
        verifier._key_source._clock = lambda: now[0]  # type: ignore[union-attr]
        signed = jwt.encode(claims(settings), PRIVATE, algorithm="ES256", headers={"kid": "one"})
        assert verifier.verify(signed).aal == "aal1"

        now[0] += 601
        server.document = key_set("two")  # "one" is withdrawn
        with pytest.raises(Refusal, match="Please sign in"):
            verifier.verify(signed)
    finally:
        server.http.shutdown()
        server.http.server_close()


def key_set(name: str) -> dict[str, object]:
    """Return a key set that has the key under a name."""
    key = jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE.public_key(), as_dict=True)
    return {"keys": [{**key, "kid": name, "alg": "ES256", "use": "sig"}]}
