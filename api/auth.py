"""Bearer token -> caller: verifies and carries identity, decides nothing."""

from typing import Any
from uuid import UUID

import jwt
from flask import Flask, current_app, g, request

from api.config import JWKS_TIMEOUT, Settings
from api.errors import Refusal

_MAX_TOKEN_BYTES = 8 * 1024
_LEEWAY_SECONDS = 10
_KEY_CACHE_SECONDS = 600
_ASYMMETRIC = ["ES256", "RS256"]


class TokenVerifier:
    """Checks a Supabase access token, with the project's secret or its public keys, never both."""

    def __init__(self, settings: Settings) -> None:
        """Choose the secret (HS256) when there is one, the key set (ES256, RS256) otherwise."""
        self._secret = settings.jwt_secret
        self._issuer = settings.jwt_issuer
        self._keys = jwt.PyJWKClient(
            settings.jwks_url, lifespan=_KEY_CACHE_SECONDS, timeout=JWKS_TIMEOUT
        )

    def verify(self, token: str) -> None:
        """Return when the token is a signed-in person's, else refuse.

        Refusals: 401 AUTHENTICATION_ERROR, 503 UPSTREAM_UNAVAILABLE (no public keys to be had).
        """
        if len(token) > _MAX_TOKEN_BYTES:
            raise _not_signed_in()
        try:
            claims = self._decode(token)
            UUID(claims["sub"])
        except jwt.PyJWKClientConnectionError as error:
            raise Refusal(
                503, "UPSTREAM_UNAVAILABLE", "Sign-in cannot be checked right now. Please try again"
            ) from error
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise _not_signed_in() from error
        if claims.get("role") != "authenticated":
            raise _not_signed_in()

    def _decode(self, token: str) -> dict[str, Any]:
        if self._secret is not None:
            key, algorithms = self._secret, ["HS256"]
        else:
            # The algorithm is read first, so that a token no key could have signed fetches none.
            if jwt.get_unverified_header(token).get("alg") not in _ASYMMETRIC:
                raise jwt.InvalidAlgorithmError
            key, algorithms = self._keys.get_signing_key_from_jwt(token).key, _ASYMMETRIC
        return jwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience="authenticated",
            issuer=self._issuer,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )


def register(app: Flask, settings: Settings) -> None:
    """Give the application its verifier."""
    app.extensions["token_verifier"] = TokenVerifier(settings)


def sign_in() -> None:
    """Verify the request's token and keep it for the calls that are made on its behalf."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _not_signed_in()
    current_app.extensions["token_verifier"].verify(token)
    g.token = token


def _not_signed_in() -> Refusal:
    return Refusal(401, "AUTHENTICATION_ERROR", "Please sign in")
