"""The environment, read once into one frozen Settings: the only reader of os.environ."""

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from dotenv import load_dotenv
from limits import parse_many

# Every outgoing call has a bound, in seconds.
CONNECT_TIMEOUT = 2.0  # to reach Supabase
RPC_TIMEOUT = 10.0  # for Supabase to answer one call
KEPT_CONNECTIONS = 16  # to Supabase, that wait for their next call, at most
KEPT_SECONDS = 20.0  # for which one waits: PostgREST closes it after 30 to 60
JWKS_TIMEOUT = 3.0  # in all, to fetch the project's public keys
LIMITS_TIMEOUT = 0.25  # for the rate limits' shared counters, each way
ROOM_TIMEOUT = 3.0  # all that one request may spend on the video provider

MAX_BODY_BYTES = 64 * 1024
DEFAULT_RATE_LIMIT = "1200/minute"  # of one caller, in one worker: a person needs a few

_OLDER_NAMES = {
    "SUPABASE_PUBLISHABLE_KEY": "SUPABASE_ANON_KEY",
    "SUPABASE_SECRET_KEY": "SUPABASE_SERVICE_ROLE_KEY",
}

# As a browser writes it: in small letters, without a path, and without the scheme's own port.
_ORIGIN = re.compile(
    r"(http(?!.*:80$)|https(?!.*:443$))://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
)
_COOKIE_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)  # what RFC 6265 lets one be called


class ConfigurationError(Exception):
    """The environment does not describe a working API; the message lists everything wrong."""


@dataclass(frozen=True)
class CookieSettings:
    """Which cookie says who somebody is."""

    kind: str
    name: str
    secret: str = field(repr=False)
    user_claim: str


@dataclass(frozen=True)
class Settings:
    """What the environment said; .env.example documents every variable."""

    supabase_url: str
    rest_url: str
    publishable_key: str
    secret_key: str | None
    jwt_secret: str | None
    jwks_url: str
    jwt_issuer: str
    video_provider: str
    daily_api_key: str | None
    daily_domain_id: str | None
    daily_api_url: str
    daily_webhook_secret: bytes | None
    jitsi_url: str
    jitsi_app_id: str | None
    jitsi_app_secret: str | None
    port: int
    refuse_anonymous: bool
    therapist_aal: str | None
    rate_limit: str | None
    rate_limit_storage_url: str | None
    metrics_token: str | None
    allowed_origins: tuple[str, ...]
    cookies: CookieSettings | None

    def __repr__(self) -> str:
        """Name no secret, so that a logged Settings gives nothing away."""
        return f"Settings(supabase_url={self.supabase_url!r}, video={self.video_provider!r})"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment (and .env beneath it), or raise one ConfigurationError for all of it."""
    if environ is None:
        load_dotenv()
        environ = os.environ
    wrong: list[str] = []

    def value(name: str) -> str | None:
        older = _OLDER_NAMES.get(name)
        found = environ.get(name) or (environ.get(older) if older else None)
        return found.strip() if found and found.strip() else None

    def url(name: str, default: str | None = None) -> str:
        found = value(name) or default
        if found is None:
            wrong.append(f"{name} is missing")
            return ""
        parts = urlsplit(found)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            wrong.append(f"{name} is not an http(s) address: {found!r}")
        return found.rstrip("/")

    supabase_url = url("SUPABASE_URL")
    publishable_key = value("SUPABASE_PUBLISHABLE_KEY")
    if publishable_key is None:
        wrong.append("SUPABASE_PUBLISHABLE_KEY is missing (older name: SUPABASE_ANON_KEY)")
    jwt_secret = value("SUPABASE_JWT_SECRET")
    if jwt_secret is not None and len(jwt_secret) < 32:
        wrong.append("SUPABASE_JWT_SECRET is shorter than 32 characters: HS256 needs that many")
    if jwt_secret is not None and value("SUPABASE_JWKS_URL") is not None:
        wrong.append("SUPABASE_JWT_SECRET and SUPABASE_JWKS_URL are both set: keep the one in use")
    webhook_secret = _decoded(value("DAILY_WEBHOOK_SECRET"))
    if webhook_secret is not None and len(webhook_secret) < 16:
        wrong.append("DAILY_WEBHOOK_SECRET is not 16 bytes or more in base64")
    video_provider = value("VIDEO_PROVIDER") or "daily"
    if video_provider not in ("daily", "jitsi"):
        wrong.append(f"VIDEO_PROVIDER is neither daily nor jitsi: {video_provider!r}")
    jitsi_app_secret = value("JITSI_APP_SECRET")
    if video_provider == "jitsi" and len(jitsi_app_secret or "") < 32:
        wrong.append("JITSI_APP_SECRET is not 32 characters or more: rooms are named with it")
    port = value("PORT") or "8000"
    if not (port.isdigit() and 0 < int(port) < 65536):
        wrong.append(f"PORT is not a port number: {port!r}")
        port = "8000"
    refuse_anonymous = (value("REFUSE_ANONYMOUS") or "false").lower()
    if refuse_anonymous not in ("true", "false"):
        wrong.append(f"REFUSE_ANONYMOUS is neither true nor false: {refuse_anonymous!r}")
    therapist_aal = value("THERAPIST_AAL")
    if therapist_aal not in (None, "aal2"):
        wrong.append(f"THERAPIST_AAL is not aal2, the only level to ask for: {therapist_aal!r}")
    rate_limit = value("RATE_LIMIT") or DEFAULT_RATE_LIMIT
    try:
        parse_many("1/second" if rate_limit == "off" else rate_limit)
    except ValueError:
        wrong.append(f"RATE_LIMIT is neither off nor like '100/minute; 1000/hour': {rate_limit!r}")
    storage_url = value("RATE_LIMIT_STORAGE_URL")
    if storage_url is not None and urlsplit(storage_url).scheme not in ("redis", "rediss"):
        wrong.append("RATE_LIMIT_STORAGE_URL is not a redis:// or rediss:// address")
    metrics_token = value("METRICS_TOKEN")
    if metrics_token is not None and len(metrics_token) < 16:
        wrong.append("METRICS_TOKEN is shorter than 16 characters")
    listed = (value("ALLOWED_ORIGINS") or "").split(",")
    origins = [origin.strip() for origin in listed if origin.strip()]
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            wrong.append(
                f"ALLOWED_ORIGINS has {origin!r}: each is scheme://host or scheme://host:port"
            )
    base = supabase_url or "http://missing"
    settings = Settings(
        supabase_url=supabase_url,
        rest_url=url("SUPABASE_REST_URL", f"{base}/rest/v1"),
        publishable_key=publishable_key or "",
        secret_key=value("SUPABASE_SECRET_KEY"),
        jwt_secret=jwt_secret,
        jwks_url=url("SUPABASE_JWKS_URL", f"{base}/auth/v1/.well-known/jwks.json"),
        jwt_issuer=value("SUPABASE_JWT_ISSUER") or f"{base}/auth/v1",
        video_provider=video_provider,
        daily_api_key=value("DAILY_API_KEY"),
        daily_domain_id=value("DAILY_DOMAIN_ID"),
        daily_api_url=url("DAILY_API_URL", "https://api.daily.co/v1"),
        daily_webhook_secret=webhook_secret,
        jitsi_url=url("JITSI_URL") if video_provider == "jitsi" else "",
        jitsi_app_id=value("JITSI_APP_ID"),
        jitsi_app_secret=jitsi_app_secret,
        port=int(port),
        refuse_anonymous=refuse_anonymous == "true",
        therapist_aal=therapist_aal,
        rate_limit=None if rate_limit == "off" else rate_limit,
        rate_limit_storage_url=storage_url,
        metrics_token=metrics_token,
        allowed_origins=tuple(origins),
        cookies=_cookies(value, wrong, supabase_url, jwt_secret),
    )
    if wrong:
        raise ConfigurationError(
            "The API cannot start; set these in the environment or in .env:\n"
            + "\n".join(f"  - {line}" for line in wrong)
        )
    return settings


def _cookies(
    value: Callable[[str], str | None], wrong: list[str], supabase_url: str, jwt_secret: str | None
) -> CookieSettings | None:
    """Read which cookie stands in for a token, None where none does."""
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
    if not _COOKIE_NAME.fullmatch(name):
        wrong.append(f"COOKIE_NAME is no name for a cookie: {name!r}")
    return CookieSettings(kind, name, secret, value("COOKIE_USER_CLAIM") or "sub")


def _decoded(secret: str | None) -> bytes | None:
    """Return a base64 secret's bytes, none at all when it is not base64; None when not given."""
    try:
        return None if secret is None else base64.b64decode(secret, validate=True)
    except ValueError:
        return b""
