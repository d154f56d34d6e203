"""The environment, read once into one frozen Settings: the only reader of os.environ."""

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import load_dotenv
from limits import parse_many

# How many seconds each outgoing call may take.
CONNECT_TIMEOUT = 2.0  # to open a connection to Supabase
RPC_TIMEOUT = 10.0  # for Supabase's answer to one call
JWKS_TIMEOUT = 3.0  # for the whole fetch of the project's public keys
LIMITS_TIMEOUT = 0.25  # to connect to the rate limits' Redis, and for its answer
ROOM_TIMEOUT = 3.0  # for all calls to the video provider in one request

# Connections to Supabase that wait for their next call: how many, and for how many seconds.
# PostgREST closes such a connection after 30 to 60.
KEPT_CONNECTIONS = 16
KEPT_SECONDS = 20.0

MAX_BODY_BYTES = 64 * 1024
DEFAULT_RATE_LIMIT = "1200/minute"  # for each caller, in each worker; a person needs a few

_OLDER_NAMES = {
    "SUPABASE_PUBLISHABLE_KEY": "SUPABASE_ANON_KEY",
    "SUPABASE_SECRET_KEY": "SUPABASE_SERVICE_ROLE_KEY",
}

# An origin as a browser sends it: small letters, no path, and no port if it is the scheme's own.
_ORIGIN = re.compile(
    r"(http(?!.*:80$)|https(?!.*:443$))://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
)
_COOKIE_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)  # a cookie's name, by RFC 6265


class ConfigurationError(Exception):
    """The environment does not describe a working API; the message lists all mistakes."""


@dataclass(frozen=True)
class CookieSettings:
    """The cookie that stands in for a token."""

    kind: str
    name: str
    secret: str = field(repr=False)
    user_claim: str


@dataclass(frozen=True)
class Settings:
    """All settings of the API; .env.example documents the variables that they come from."""

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
    metrics_folder: Path | None
    allowed_origins: tuple[str, ...]
    cookies: CookieSettings | None

    def __repr__(self) -> str:
        """Show no secret, because a log may show this."""
        return f"Settings(supabase_url={self.supabase_url!r}, video={self.video_provider!r})"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raise one ConfigurationError that lists all mistakes.

    A variable that the environment lacks is looked for in .env.
    """
    if environ is None:
        load_dotenv()
        environ = os.environ
    env = _Environment(environ)
    supabase_url = env.url("SUPABASE_URL")
    base = supabase_url or "http://missing"
    publishable_key = _publishable_key(env)
    jwt_secret = _jwt_secret(env)
    video_provider = _video_provider(env)
    settings = Settings(
        supabase_url=supabase_url,
        rest_url=env.url("SUPABASE_REST_URL", f"{base}/rest/v1"),
        publishable_key=publishable_key,
        secret_key=env.value("SUPABASE_SECRET_KEY"),
        jwt_secret=jwt_secret,
        jwks_url=env.url("SUPABASE_JWKS_URL", f"{base}/auth/v1/.well-known/jwks.json"),
        jwt_issuer=env.value("SUPABASE_JWT_ISSUER") or f"{base}/auth/v1",
        video_provider=video_provider,
        daily_api_key=env.value("DAILY_API_KEY"),
        daily_domain_id=env.value("DAILY_DOMAIN_ID"),
        daily_api_url=env.url("DAILY_API_URL", "https://api.daily.co/v1"),
        daily_webhook_secret=_daily_webhook_secret(env),
        jitsi_url=env.url("JITSI_URL") if video_provider == "jitsi" else "",
        jitsi_app_id=env.value("JITSI_APP_ID"),
        jitsi_app_secret=_jitsi_app_secret(env, video_provider),
        port=_port(env),
        refuse_anonymous=_refuse_anonymous(env),
        therapist_aal=_therapist_aal(env),
        rate_limit=_rate_limit(env),
        rate_limit_storage_url=_rate_limit_storage_url(env),
        metrics_token=_metrics_token(env),
        metrics_folder=_metrics_folder(env),
        allowed_origins=_allowed_origins(env),
        cookies=_cookies(env, supabase_url, jwt_secret),
    )
    if env.wrong:
        raise ConfigurationError(
            "The API cannot start; set these in the environment or in .env:\n"
            + "\n".join(f"  - {line}" for line in env.wrong)
        )
    return settings


class _Environment:
    """The environment's variables, and what is wrong with them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.wrong: list[str] = []

    def value(self, name: str) -> str | None:
        """Return a variable, under its older name too; None where it is missing or empty."""
        value = self._variables.get(name) or self._variables.get(_OLDER_NAMES.get(name, ""))
        return (value or "").strip() or None

    def url(self, name: str, default: str | None = None) -> str:
        """Return an address without a slash at its end."""
        address = self.value(name) or default
        if address is None:
            self.wrong.append(f"{name} is missing")
            return ""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            self.wrong.append(f"{name} is not an http(s) address: {address!r}")
        return address.rstrip("/")


def _publishable_key(env: _Environment) -> str:
    key = env.value("SUPABASE_PUBLISHABLE_KEY")
    if key is None:
        env.wrong.append("SUPABASE_PUBLISHABLE_KEY is missing (older name: SUPABASE_ANON_KEY)")
    return key or ""


def _jwt_secret(env: _Environment) -> str | None:
    secret = env.value("SUPABASE_JWT_SECRET")
    if secret is None:
        return None
    if len(secret) < 32:
        env.wrong.append("SUPABASE_JWT_SECRET is shorter than 32 characters: HS256 needs that many")
    if env.value("SUPABASE_JWKS_URL") is not None:
        env.wrong.append(
            "SUPABASE_JWT_SECRET and SUPABASE_JWKS_URL are both set: keep the one in use"
        )
    return secret


def _video_provider(env: _Environment) -> str:
    provider = env.value("VIDEO_PROVIDER") or "daily"
    if provider not in ("daily", "jitsi"):
        env.wrong.append(f"VIDEO_PROVIDER is neither daily nor jitsi: {provider!r}")
    return provider


def _daily_webhook_secret(env: _Environment) -> bytes | None:
    encoded = env.value("DAILY_WEBHOOK_SECRET")
    if encoded is None:
        return None
    try:
        secret = base64.b64decode(encoded, validate=True)
    except ValueError:
        secret = b""
    if len(secret) < 16:
        env.wrong.append("DAILY_WEBHOOK_SECRET is not 16 bytes or more in base64")
    return secret


def _jitsi_app_secret(env: _Environment, video_provider: str) -> str | None:
    secret = env.value("JITSI_APP_SECRET")
    if video_provider == "jitsi" and len(secret or "") < 32:
        env.wrong.append("JITSI_APP_SECRET is not 32 characters or more: rooms are named with it")
    return secret


def _port(env: _Environment) -> int:
    port = env.value("PORT") or "8000"
    if port.isdigit() and 0 < int(port) < 65536:
        return int(port)
    env.wrong.append(f"PORT is not a port number: {port!r}")
    return 8000


def _refuse_anonymous(env: _Environment) -> bool:
    word = (env.value("REFUSE_ANONYMOUS") or "false").lower()
    if word not in ("true", "false"):
        env.wrong.append(f"REFUSE_ANONYMOUS is neither true nor false: {word!r}")
    return word == "true"


def _therapist_aal(env: _Environment) -> str | None:
    level = env.value("THERAPIST_AAL")
    if level not in (None, "aal2"):
        env.wrong.append(f"THERAPIST_AAL is not aal2, the only level to ask for: {level!r}")
    return level


def _rate_limit(env: _Environment) -> str | None:
    limits = env.value("RATE_LIMIT") or DEFAULT_RATE_LIMIT
    if limits == "off":
        return None
    try:
        parse_many(limits)
    except ValueError:
        env.wrong.append(f"RATE_LIMIT is neither off nor like '100/minute; 1000/hour': {limits!r}")
    return limits


def _rate_limit_storage_url(env: _Environment) -> str | None:
    address = env.value("RATE_LIMIT_STORAGE_URL")
    if address is not None and urlsplit(address).scheme not in ("redis", "rediss"):
        env.wrong.append("RATE_LIMIT_STORAGE_URL is not a redis:// or rediss:// address")
    return address


def _metrics_folder(env: _Environment) -> Path | None:
    folder = env.value("PROMETHEUS_MULTIPROC_DIR")  # prometheus_client reads it, too
    return Path(folder) if folder else None


def _metrics_token(env: _Environment) -> str | None:
    token = env.value("METRICS_TOKEN")
    if token is not None and len(token) < 16:
        env.wrong.append("METRICS_TOKEN is shorter than 16 characters")
    return token


def _allowed_origins(env: _Environment) -> tuple[str, ...]:
    listed = (env.value("ALLOWED_ORIGINS") or "").split(",")
    origins = tuple(origin.strip() for origin in listed if origin.strip())
    env.wrong += [
        f"ALLOWED_ORIGINS has {origin!r}: each is scheme://host or scheme://host:port"
        for origin in origins
        if not _ORIGIN.fullmatch(origin)
    ]
    return origins


def _cookies(env: _Environment, supabase_url: str, jwt_secret: str | None) -> CookieSettings | None:
    """Return the cookie that stands in for a token; None if cookies are off."""
    kind = env.value("COOKIE_AUTH")
    if kind is None:
        return None
    secret = env.value("COOKIE_SECRET") or ""
    project = (urlsplit(supabase_url).hostname or "").partition(".")[0]
    usual = {"supabase": f"sb-{project}-auth-token", "session": "session"}
    if kind not in usual:
        env.wrong.append(f"COOKIE_AUTH is neither supabase nor session: {kind!r}")
    elif kind == "session":
        if len(secret) < 32:
            env.wrong.append("COOKIE_SECRET is shorter than 32 characters: HS256 needs that many")
        if jwt_secret is None:
            env.wrong.append("SUPABASE_JWT_SECRET is missing: a session is exchanged for its token")
        if secret == jwt_secret:
            env.wrong.append(
                "COOKIE_SECRET is SUPABASE_JWT_SECRET: one must not pass for the other"
            )
    name = env.value("COOKIE_NAME") or usual.get(kind, "")
    if not _COOKIE_NAME.fullmatch(name):
        env.wrong.append(f"COOKIE_NAME is no name for a cookie: {name!r}")
    return CookieSettings(kind, name, secret, env.value("COOKIE_USER_CLAIM") or "sub")
