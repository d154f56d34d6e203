"""Verifies access tokens: signature, algorithm and every claim; 401 for a token in doubt."""

import json
import time
from functools import lru_cache
from typing import Annotated, Any, Literal

import jwt
from jwt.utils import base64url_decode
from pydantic import BaseModel, ConfigDict, Field

from api.config import Settings
from api.identity.jwks import KeysUnavailable, PublicKeys
from api.serving.errors import Refusal

_MAX_TOKEN_BYTES = 8 * 1024
_REMEMBERED = 2048  # verified tokens; the one that was not used for longest is forgotten
LEEWAY_SECONDS = 10
_ASYMMETRIC = ["ES256", "RS256"]

# A token whose header has one of these is refused: they bring a key along, or change the rules.
_NEVER_HONOURED = {"jwk", "jku", "x5u", "x5c", "crit", "b64", "enc", "zip"}

Instant = Annotated[int, Field(ge=0, lt=2**53)]


class Claims(BaseModel):
    """The claims of a signed-in person's token; their types are strict, which PyJWT's are not."""

    model_config = ConfigDict(strict=True, frozen=True)

    aud: Literal["authenticated"]
    role: Literal["authenticated"]
    iss: str
    sub: Annotated[str, Field(pattern=r"^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    exp: Instant
    iat: Instant
    nbf: Instant | None = None
    aal: str | None = None
    is_anonymous: bool = False


class TokenVerifier:
    """Checks a Supabase access token, with the project's secret or its public keys, never both."""

    def __init__(self, settings: Settings) -> None:
        """Choose the secret (HS256) if there is one, else the public keys (ES256, RS256)."""
        self._key_source = settings.jwt_secret or PublicKeys(settings.jwks_url)
        self._algorithms = ["HS256"] if settings.jwt_secret else _ASYMMETRIC
        self._issuer = settings.jwt_issuer
        # Claims are remembered by token and key: after a key is fetched again or replaced, its
        # tokens are verified again. A refused token raises, and is not remembered.
        self._known = lru_cache(_REMEMBERED)(self._decode)

    def verify(self, token: str) -> Claims:
        """Return the claims of a signed-in person's token.

        Refusals: 401 AUTHENTICATION_ERROR, 503 UPSTREAM_UNAVAILABLE (the public keys cannot be
        fetched).
        """
        if len(token) > _MAX_TOKEN_BYTES:
            raise not_signed_in()
        try:
            return self._verify(token)
        except KeysUnavailable as error:
            raise Refusal(
                503, "UPSTREAM_UNAVAILABLE", "Sign-in cannot be checked right now. Please try again"
            ) from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise not_signed_in() from error

    def ready(self) -> bool:
        """Return whether there are keys to verify with."""
        return isinstance(self._key_source, str) or self._key_source.ready()

    def _verify(self, token: str) -> Claims:
        claims = self._known(token, self._key(header_of(token)))
        if time.time() >= claims.exp + LEEWAY_SECONDS:  # it may have been remembered
            raise jwt.ExpiredSignatureError
        return claims

    def _decode(self, token: str, key: str | jwt.PyJWK) -> Claims:
        claims = jwt.decode(
            token,
            key,
            algorithms=self._algorithms,
            audience="authenticated",
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={
                "require": ["exp", "iat", "sub", "aud", "iss"],
                "strict_aud": True,
                "enforce_minimum_key_length": True,
            },
        )
        return Claims.model_validate(claims)

    def _key(self, header: dict[str, Any]) -> str | jwt.PyJWK:
        """Return the key that the header names; PyJWT uses it with its own algorithm alone."""
        if isinstance(self._key_source, str):
            return self._key_source
        # The algorithm is checked first: a token that no public key can have signed makes no fetch.
        kid = header.get("kid")
        if header.get("alg") not in _ASYMMETRIC or not isinstance(kid, str):
            raise jwt.InvalidTokenError
        key = self._key_source.find(kid)
        if key is None:
            raise jwt.InvalidKeyError
        return key


def header_of(token: str) -> dict[str, Any]:
    """Return a token's header; raise ValueError or PyJWTError for one that is refused."""
    header, _ = (
        json.loads(base64url_decode(part).decode(), object_pairs_hook=each_name_once)
        for part in token.split(".")[:2]
    )
    if not isinstance(header, dict) or _NEVER_HONOURED & header.keys():
        raise jwt.InvalidTokenError
    return header


def each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's fields; refuse a name that stands twice, with two meanings."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name stands twice")
    return fields


def not_signed_in() -> Refusal:
    """Return the refusal that every bad token gets."""
    return Refusal(401, "AUTHENTICATION_ERROR", "Please sign in")
