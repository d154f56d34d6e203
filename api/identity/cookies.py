"""Sign-in by cookie, off by default: Supabase's cookie, or the frontend's own session."""

import json
import time
from typing import Any

import jwt
from flask import current_app, request
from jwt.utils import base64url_decode

from api.config import CookieSettings, Settings
from api.identity.tokens import LEEWAY_SECONDS, each_name_once, header_of
from api.serving.errors import Refusal, not_json

_PREFIX = "base64-"
_MAX_BYTES = 16 * 1024  # of a whole cookie; the token in it has its own limit
_MAX_CHUNKS = 8
# How long a token lives that is made for one request: enough for its call and clocks that differ.
_LIFETIME_SECONDS = 120


class SupabaseCookies:
    """Reads the token in the cookie of @supabase/ssr; it is verified like any other token."""

    def __init__(self, settings: CookieSettings) -> None:
        """Take the cookie's name."""
        self._name = settings.name

    def token(self) -> str | None:
        """Return the token in this request's cookie, None without a cookie.

        Raises ValueError, PyJWTError or another error for a cookie that it cannot read.

        Refusals: 403 ORIGIN_NOT_ALLOWED, 415 UNSUPPORTED_MEDIA_TYPE.
        """
        sent = request.cookies
        names = [f"{self._name}.{number}" for number in range(_MAX_CHUNKS)]
        parts = [self._name] if self._name in sent else [name for name in names if name in sent]
        if not parts:
            return None
        _refuse_forged_write()
        if parts != [self._name] and parts != names[: len(parts)]:
            raise ValueError("a part is missing")
        if any(len(sent.getlist(name)) > 1 for name in parts):
            raise ValueError("two with one name: another host may have set one of them")
        cookie = "".join(sent[name] for name in parts)
        if len(cookie) > _MAX_BYTES:
            raise ValueError("too long")
        return self._read(cookie)

    def _read(self, cookie: str) -> str:
        """Return the access token in a cookie."""
        if not cookie.startswith(_PREFIX):
            raise ValueError("another encoding")
        raw = base64url_decode(cookie.removeprefix(_PREFIX))
        token = json.loads(raw, object_pairs_hook=each_name_once)["access_token"]
        if not isinstance(token, str):
            raise ValueError("no token in it")
        return token


class SessionCookies(SupabaseCookies):
    """Reads a frontend's own session, signed with HS256, and makes a token for one request."""

    def __init__(self, settings: CookieSettings, issuer: str, jwt_secret: str) -> None:
        """Take the frontend's secret, and the project's secret to sign tokens with."""
        super().__init__(settings)
        self._settings = settings
        self._issuer = issuer
        self._jwt_secret = jwt_secret

    def _read(self, cookie: str) -> str:
        """Exchange the session for a token that expires within minutes, and not after the session.

        The token has no assurance level, because a session does not say how its person signed in.
        """
        header_of(cookie)
        session = jwt.decode(
            cookie,
            self._settings.secret,
            algorithms=["HS256"],
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp"], "verify_sub": False},
        )
        person: Any = session
        for name in self._settings.user_claim.split("."):
            person = person[name]
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": "authenticated",
            "role": "authenticated",
            "sub": person,
            "iat": now,
            "exp": min(now + _LIFETIME_SECONDS, int(session["exp"]) + LEEWAY_SECONDS),
        }
        return jwt.encode(claims, self._jwt_secret, "HS256")


def reader(settings: Settings) -> SupabaseCookies | None:
    """Return the reader of the installation's cookies, None if cookies are off."""
    if settings.cookies is None:
        return None
    if settings.cookies.kind == "supabase":
        return SupabaseCookies(settings.cookies)
    return SessionCookies(settings.cookies, settings.jwt_issuer, settings.jwt_secret or "")


def _refuse_forged_write() -> None:
    """Refuse a write that a page of another origin may have sent with this person's cookie.

    The browser says where a request comes from, in headers that no page can change. A request from
    another site is refused even if its origin is listed, as it would be with SameSite=Lax.
    """
    if request.method in ("GET", "HEAD"):
        return
    site = request.headers.get("Sec-Fetch-Site")
    is_listed = request.headers.get("Origin") in current_app.config["ALLOWED_ORIGINS"]
    if site == "cross-site" or not (is_listed or site == "same-origin"):
        raise Refusal(
            403, "ORIGIN_NOT_ALLOWED", "This page may not do this: its origin is not listed"
        )
    if (request.content_length or request.mimetype) and not request.is_json:
        raise not_json()
