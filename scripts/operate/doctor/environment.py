"""What is around the database: PostgREST, the keys of tokens, clocks, Daily.

Each part is asked only where the environment names it, as the API itself asks it, within seconds.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from api.config import ConfigurationError, Settings, load_settings
from api.identity.jwks import PublicKeys
from api.identity.tokens import LEEWAY_SECONDS
from api.supabase import Supabase
from scripts.operate.connection import Connection
from scripts.operate.doctor.finding import Finding

_SECONDS = 5.0  # for any one answer
_TOLERANCE = 2.0  # seconds by which clocks may differ without a word
_CONFIGURED_BY = ("SUPABASE_URL", "SUPABASE_REST_URL", "DAILY_API_KEY")
_REACH = {
    "supabase": "every request of the API would fail",
    "postgres": "PostgREST answers, and has no database behind it: every request would fail",
    "functions": "PostgREST does not know the functions: it was not told of the install",
}


def look(db: Connection, settings: dict[str, Any]) -> Iterator[Finding]:
    """Yield every finding about what the environment names."""
    yield from _clock_of_database(db)
    if not any(os.environ.get(name) for name in _CONFIGURED_BY):
        return
    try:
        environment = load_settings()
    except ConfigurationError as error:
        wrong = "; ".join(line.strip(" -") for line in str(error).splitlines()[1:])
        yield Finding(
            "error",
            f"the API does not start with this environment: {wrong}",
            "nothing around the database was looked at",
            "set them as .env.example says",
        )
        return
    yield from _rest(environment)
    yield from _tokens(environment)
    if environment.video_provider == "daily" and environment.daily_api_key:
        yield from _daily(environment, settings.get("video_base_url"))


def _rest(environment: Settings) -> Iterator[Finding]:
    """Ask PostgREST as the API does, and for its clock."""
    url = environment.rest_url
    health = Supabase(environment).check()
    for part, why in _REACH.items():
        if health[part] not in ("ok", "unknown"):
            yield Finding(
                "error",
                f"PostgREST at {url}: {part} {health[part]}",
                why,
                "notify pgrst, 'reload schema'; and expose the schema public"
                if part == "functions"
                else "start it, or correct SUPABASE_URL, SUPABASE_REST_URL and the key",
            )
    if set(health.values()) == {"ok"}:
        yield Finding("ok", f"PostgREST at {url}: answers, and knows the functions")
    try:
        before = time.time()
        answer = httpx.head(url, headers={"apikey": environment.publishable_key}, timeout=_SECONDS)
        after = time.time()
        date = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (httpx.HTTPError, KeyError, ValueError):
        return
    # The header has whole seconds: any moment of that second is meant.
    yield _clock("PostgREST's clock", (date, date + 1), (before, after))


def _tokens(environment: Settings) -> Iterator[Finding]:
    """Say how tokens are verified, and whether the keys for it can be had."""
    published = PublicKeys(environment.jwks_url).count()
    if environment.jwt_secret:
        if published:
            yield Finding(
                "warning",
                f"tokens: SUPABASE_JWT_SECRET is set, and {environment.jwks_url} publishes "
                f"{published} key(s)",
                "tokens that are signed with those keys are refused: the secret is used alone",
                "once the project signs with them, take SUPABASE_JWT_SECRET out",
            )
        else:
            yield Finding("ok", "tokens: verified with the shared secret (HS256)")
    elif published is None:
        yield Finding(
            "error",
            f"tokens: no public keys can be had from {environment.jwks_url}",
            "no token can be verified: every request is refused with 503",
            "correct SUPABASE_URL or SUPABASE_JWKS_URL; an older project sets SUPABASE_JWT_SECRET",
        )
    elif published == 0:
        yield Finding(
            "error",
            f"tokens: {environment.jwks_url} publishes no key for ES256 or RS256",
            "the project signs with its shared secret, and no token can be verified without it",
            "set SUPABASE_JWT_SECRET, or give the project a signing key",
        )
    else:
        yield Finding("ok", f"tokens: verified with {published} public key(s)")


def _daily(environment: Settings, base_url: str | None) -> Iterator[Finding]:
    """Ask Daily whose domain the key opens, and whether the settings agree."""
    url = environment.daily_api_url
    try:
        answer = httpx.get(
            f"{url}/",
            headers={"Authorization": f"Bearer {environment.daily_api_key}"},
            timeout=_SECONDS,
        )
        domain = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        yield Finding(
            "error",
            f"Daily at {url} does not answer ({type(error).__name__})",
            "approvals stand, but joining by video fails",
            "try again; correct DAILY_API_URL",
        )
        return
    if answer.status_code != 200 or "domain_name" not in domain:
        yield Finding(
            "error",
            f"Daily at {url} answers {answer.status_code}",
            "approvals stand, but joining by video fails",
            "set DAILY_API_KEY to the key in Daily's dashboard, Developers",
        )
        return
    yield Finding("ok", f"Daily: the key opens the domain {domain['domain_name']}")
    if environment.daily_domain_id not in (None, domain.get("domain_id")):
        yield Finding(
            "error",
            f"DAILY_DOMAIN_ID is not the id of {domain['domain_name']}",
            "meeting tokens are signed for another domain: they open no room",
            f"DAILY_DOMAIN_ID={domain.get('domain_id')}",
        )
    expected = f"https://{domain['domain_name']}.daily.co"
    if base_url and base_url.endswith(".daily.co") and base_url != expected:
        yield Finding(
            "warning",
            f"settings.video_base_url is {base_url}; the key's rooms are at {expected}",
            "screens that read a session's URL columns lead elsewhere than the API does",
            f"in session_approval.settings, set video_base_url = '{expected}'",
        )


def _clock_of_database(db: Connection) -> Iterator[Finding]:
    before = time.time()
    [row] = db.execute("select extract(epoch from clock_timestamp())::float8 as seconds")
    yield _clock("the database's clock", (row["seconds"], row["seconds"]), (before, time.time()))


def _clock(whose: str, there: tuple[float, float], here: tuple[float, float]) -> Finding:
    """Compare a clock's answer with this machine's time while it was asked; both are spans."""
    apart = max(0.0, there[0] - here[1]) - max(0.0, here[0] - there[1])
    if abs(apart) <= _TOLERANCE:
        return Finding("ok", f"{whose} agrees with this machine's")
    here_now = datetime.fromtimestamp(here[1], UTC).isoformat(timespec="seconds")
    side = "ahead of" if apart > 0 else "behind"
    return Finding(
        "error" if abs(apart) > LEEWAY_SECONDS else "warning",
        f"{whose} is {abs(apart):.0f} s {side} this machine's, which says {here_now}",
        "sessions begin and expire by the database's clock; tokens expire by the clocks of the "
        f"machines that issue and check them: more than {LEEWAY_SECONDS} s apart, good tokens are"
        " refused",
        "set both machines' clocks by NTP",
    )
