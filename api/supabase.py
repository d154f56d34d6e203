"""The only door to Postgres: one function call by PostgREST, as the caller, over one pool."""

import json
import logging
from typing import Any, cast

import httpx
from flask import Flask, current_app, g
from postgrest import SyncPostgrestClient
from postgrest.exceptions import APIError

from api.config import Settings
from api.serving import metrics
from api.serving.errors import Refusal
from api.wire import Wire

_log = logging.getLogger(__name__)

Row = dict[str, Any]

# The columns that an act's row adds to the session's.
_BESIDE = (
    "credits_balance_after",
    "credits_low",
    "already_approved",
    "refunded",
    "refund_expires_at",
    "message",
    "room",
)

# The answer to a commit may be among what was lost: by a gateway's status, a canceled statement,
# or a connection to Postgres that broke: PostgREST's PGRST001 (503), or no code at all (400).
_CUT_OFF = {"500", "502", "504", "57014", "57P01", "57P02", "57P05", "PGRST001", ""}

_AWAY = "The service is not available right now. Please try again"
_UNKNOWN = "The answer did not arrive in time. Please try again: repeating is safe"


class Supabase:
    """Calls database functions; one pool of connections for all callers of this worker."""

    def __init__(self, settings: Settings) -> None:
        """Open no connection yet; the first call does."""
        self._url = settings.rest_url
        self._apikey = settings.publishable_key
        self._secret_key = settings.secret_key or ""
        self._http = Wire(settings.rest_url)

    def call(self, token: str, function: str, parameters: dict[str, Any]) -> list[Row]:
        """Call a function as a token's person and return its rows, or raise its refusal.

        Refusals beside the function's own: 503 UPSTREAM_UNAVAILABLE (nothing was done),
        504 OUTCOME_UNKNOWN (it may have been done: repeat it), 400 VALIDATION_ERROR (a value that
        the database cannot read), 401 AUTHENTICATION_ERROR (the token ended on the way).
        """
        headers = {"apikey": self._apikey, "Authorization": f"Bearer {token}"}
        return self._call(headers, function, parameters)

    def call_as_server(self, function: str, parameters: dict[str, Any]) -> list[Row]:
        """Call a function with the installation's secret key; refuses as call does.

        A key of today (sb_secret_...) is no token: Supabase turns the apikey into the role. An
        older one is a token, for Supabase and a bare PostgREST alike.
        """
        headers = {"apikey": self._secret_key}
        if not self._secret_key.startswith("sb_"):
            headers["Authorization"] = f"Bearer {self._secret_key}"
        return self._call(headers, function, parameters)

    def _call(
        self, headers: dict[str, str], function: str, parameters: dict[str, Any]
    ) -> list[Row]:
        # A client per call over the shared pool: its headers are this caller's alone. Never closed,
        # for that would close the pool.
        client = SyncPostgrestClient(
            self._url, headers=headers, http_client=self._http, retry_enabled=False
        )
        try:
            with metrics.CALLS.track_inprogress():
                return cast(list[Row], client.rpc(function, parameters).execute().data)
        except APIError as error:
            raise _refusal(function, error) from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            _log.warning("%s: cannot reach Supabase: %s", function, type(error).__name__)
            raise Refusal(503, "UPSTREAM_UNAVAILABLE", _AWAY) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            _log.warning("%s: no answer from Supabase: %s", function, type(error).__name__)
            raise Refusal(504, "OUTCOME_UNKNOWN", _UNKNOWN) from error

    def check(self) -> dict[str, str]:
        """Say whether Supabase, its Postgres and our functions there answer.

        Asked is a function that nobody may call without a token: its refusal comes from Postgres.
        (Supabase answers for its REST API's root without asking Postgres.)
        """
        found = {"supabase": "ok", "postgres": "unknown", "functions": "unknown"}
        try:
            answer = self._http.request(
                "POST",
                f"{self._url}/rpc/get_credits",
                headers=httpx.Headers({"apikey": self._apikey, "Content-Type": "application/json"}),
                content=b"{}",
            )
            code = str(answer.json().get("code"))
        except (httpx.HTTPError, ValueError, AttributeError):
            return {**found, "supabase": "away"}
        if answer.status_code >= 500:
            return {**found, "postgres": "away"}
        if code == "PGRST202":
            return {**found, "postgres": "ok", "functions": "missing"}
        if code in ("42501", "PGRST302"):  # refused by Postgres; or asked for a token at once
            return {**found, "postgres": "ok", "functions": "ok"}
        return {**found, "supabase": f"answers {answer.status_code}"}


def register(app: Flask, settings: Settings) -> None:
    """Give the application its door to Postgres."""
    app.extensions["supabase"] = Supabase(settings)


def call(function: str, **parameters: Any) -> list[Row]:
    """Call a function as the person who sent this request, and return its rows."""
    rows: list[Row] = current_app.extensions["supabase"].call(g.token, function, parameters)
    return rows


def call_one(function: str, **parameters: Any) -> Row:
    """Call a function that answers with exactly one row."""
    [row] = call(function, **parameters)
    return row


def call_as_server(function: str, **parameters: Any) -> list[Row]:
    """Call a function that only the server may, with the secret key, and return its rows."""
    rows: list[Row] = current_app.extensions["supabase"].call_as_server(function, parameters)
    return rows


def take(session: Row) -> Row:
    """Take out of an act's row what stands beside the session itself, and return that."""
    return {name: session.pop(name) for name in _BESIDE}


def _refusal(function: str, error: APIError) -> Refusal:
    """Turn what PostgREST said into a refusal: a function's own words pass, nobody else's do."""
    code = str(error.code)
    if code.startswith("PT") and code[2:].isdigit():
        return Refusal(int(code[2:]), error.hint or "", error.message or "", _json(error.details))
    if code in ("PGRST301", "PGRST302", "PGRST303"):
        return Refusal(401, "AUTHENTICATION_ERROR", "Please sign in again")
    if code == "42501":
        return Refusal(403, "AUTHORIZATION_ERROR", "You may not do this")
    if code[:2] in ("22", "23"):
        return Refusal(400, "VALIDATION_ERROR", "A value is not one that the database accepts")
    _log.error("%s: Supabase answered %s", function, code)
    if code in _CUT_OFF or code.startswith("08"):
        return Refusal(504, "OUTCOME_UNKNOWN", _UNKNOWN)
    return Refusal(503, "UPSTREAM_UNAVAILABLE", _AWAY)


def _json(details: Any) -> Any:
    if not isinstance(details, str):
        return details
    try:
        return json.loads(details)
    except ValueError:
        return None
