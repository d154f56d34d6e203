"""Verifies the token of each request, so that calls are made as its person."""

import re

import jwt
from flask import Flask, current_app, g, request

from api.config import Settings
from api.identity import cookies
from api.identity.tokens import Claims, TokenVerifier, not_signed_in
from api.serving import rate_limits
from api.serving.errors import Refusal

_BEARER = re.compile(r"Bearer +([\w-]+\.[\w-]+\.[\w-]+)", re.ASCII | re.IGNORECASE)


def register(app: Flask, settings: Settings) -> None:
    """Give the application its verifier, and the installation's further demands on a sign-in."""
    app.extensions["token_verifier"] = TokenVerifier(settings)
    app.config["COOKIES"] = cookies.reader(settings)
    app.config["REFUSE_ANONYMOUS"] = settings.refuse_anonymous
    app.config["THERAPIST_AAL"] = settings.therapist_aal
    app.before_request(_sign_in)


def _sign_in() -> None:
    """Verify the request's token, and keep it for the calls that are made for this request.

    A route without `sign_in="token"` (declared with its answers) needs none.

    Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR (an anonymous user, where refused),
    429 RATE_LIMITED; with a cookie 403 ORIGIN_NOT_ALLOWED, 415 UNSUPPORTED_MEDIA_TYPE.
    """
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "sign_in", None) != "token":
        return
    try:
        token = _token()
        claims: Claims = current_app.extensions["token_verifier"].verify(token)
    except Refusal as refusal:
        # Only bad tokens are counted by address: a person with a good token is not refused for what
        # others at the same address do.
        if refusal.status == 401:
            rate_limits.count(f"address:{request.remote_addr}")
        raise
    rate_limits.count(f"subject:{claims.sub}")
    if claims.is_anonymous and current_app.config["REFUSE_ANONYMOUS"]:
        raise Refusal(403, "AUTHORIZATION_ERROR", "Please sign up first: this needs an account")
    g.token, g.aal = token, claims.aal


def require_therapist_assurance() -> None:
    """Refuse a sign-in that is weaker than THERAPIST_AAL demands.

    Refusals: 403 AUTHORIZATION_ERROR.
    """
    level = current_app.config["THERAPIST_AAL"]
    if level is not None and g.aal != level:
        raise Refusal(
            403,
            "AUTHORIZATION_ERROR",
            "Please confirm your second factor, then try again",
            {"required_aal": level},
        )


def _token() -> str:
    """Return the request's token, not yet verified; a cookie counts only without a header."""
    header = request.headers.get("Authorization")
    if header is not None or not current_app.config["COOKIES"]:
        bearer = _BEARER.fullmatch(header or "")
        token = bearer and bearer[1]
    else:
        try:
            token = current_app.config["COOKIES"].token()
        except (
            jwt.PyJWTError,
            ValueError,
            TypeError,
            LookupError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise not_signed_in() from error
    if token is None:
        raise not_signed_in()
    return token
