"""The part of the environment that lets a cookie stand in for a token."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)  # what RFC 6265 lets a cookie be called


@dataclass(frozen=True)
class CookieSettings:
    """Which cookie says who somebody is."""

    kind: str
    name: str
    secret: str = field(repr=False)
    user_claim: str


def read(
    value: Callable[[str], str | None], wrong: list[str], supabase_url: str, jwt_secret: str | None
) -> CookieSettings | None:
    """Read it, None where no cookie is; what is wrong is added to the list."""
    kind = value("COOKIE_AUTH")
    if kind is None:
        return None
    secret = value("COOKIE_SECRET") or ""
    project = (urlsplit(supabase_url).hostname or "").partition(".")[0]
    usual = {"supabase": f"sb-{project}-auth-token", "session": "session"}
    if kind not in usual:
        wrong.append(f"COOKIE_AUTH is neither supabase nor session: {kind!r}")
    elif kind == "session":
        if len(secret) < 32:
            wrong.append("COOKIE_SECRET is shorter than 32 characters: HS256 needs that many")
        if jwt_secret is None:
            wrong.append("SUPABASE_JWT_SECRET is missing: a session is exchanged for its token")
        if secret == jwt_secret:
            wrong.append("COOKIE_SECRET is SUPABASE_JWT_SECRET: one must not pass for the other")
    name = value("COOKIE_NAME") or usual.get(kind, "")
    if not _NAME.fullmatch(name):
        wrong.append(f"COOKIE_NAME is no name for a cookie: {name!r}")
    return CookieSettings(kind, name, secret, value("COOKIE_USER_CLAIM") or "sub")
