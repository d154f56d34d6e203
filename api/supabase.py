"""The only way to Postgres: calls one of its functions through PostgREST, as the caller."""

import json
import logging
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx
from flask import Flask, current_app, g
from postgrest import SyncPostgrestClient
from postgrest.exceptions import APIError
from supabase import ClientOptions, create_client
from yarl import URL

from api.config import CONNECT_TIMEOUT, KEPT_CONNECTIONS, KEPT_SECONDS, RPC_TIMEOUT, Settings
from api.serving import metrics
from api.serving.errors import FLAT, Refusal

_log = logging.getLogger(__name__)

Row = dict[str, Any]

# What the details of a taken time hold for a second question, which the API asks itself.
_ASK_AGAIN = ("start_time", "duration_minutes")

# With these codes the transaction may have been committed: a gateway's statuses, a cancelled
# statement (57014), a Postgres that shut down (57P...), and a broken connection to Postgres, for
# which PostgREST answers PGRST001 (503) or an empty code (400).
_CUT_OFF = {"500", "502", "504", "57014", "57P01", "57P02", "57P05", "PGRST001", ""}

# Failures before the call itself was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

_AWAY = "The service is not available right now. Please try again"
_UNKNOWN = "The answer did not arrive in time. Please try again: repeating is safe"


class Supabase:
    """Calls database functions, over one pool of connections for all callers of this worker."""

    def __init__(self, settings: Settings) -> None:
        """Open no connection; the first call opens one."""
        self._settings = settings
        self._http = httpx.Client(
            timeout=httpx.Timeout(RPC_TIMEOUT, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(
                max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=KEPT_SECONDS
            ),
            # A cookie that came with one caller's answer is not sent with another caller's call.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    def call(self, token: str, function: str, parameters: dict[str, Any]) -> list[Row]:
        """Call a function as a token's person and return its rows, or raise its refusal.

        Refusals beside the function's own: 503 UPSTREAM_UNAVAILABLE (nothing was done),
        504 OUTCOME_UNKNOWN (it may have been done: repeat it), 400 VALIDATION_ERROR (a value that
        the database cannot read), 401 AUTHENTICATION_ERROR (the token expired on the way).
        """
        # A client for each call, because its headers hold the caller's token. It is never closed,
        # because that would close the pool, which all calls share.
        client = SyncPostgrestClient(
            self._settings.rest_url,
            headers={
                "apikey": self._settings.publishable_key,
                "Authorization": f"Bearer {token}",
            },
            http_client=self._http,
            retry_enabled=False,
        )
        return _call(client, function, parameters)

    def call_as_server(self, function: str, parameters: dict[str, Any]) -> list[Row]:
        """Call a function with the installation's secret key; refuses as call does."""
        return _call(self._server, function, parameters)

    @cached_property
    def _server(self) -> SyncPostgrestClient:
        """The client with the secret key: one for the process, made by its first call."""
        key = self._settings.secret_key or ""
        client = create_client(
            self._settings.supabase_url,
            key,
            ClientOptions(
                httpx_client=self._http,
                postgrest_client_retry=False,
                auto_refresh_token=False,
                persist_session=False,
            ),
        )
        client.rest_url = URL(self._settings.rest_url)
        rest = client.postgrest
        if key.startswith("sb_"):
            # Such a key is no token. Supabase wants it as the apikey alone, and PostgREST refuses
            # it as a token; supabase-py sends every key as both.
            del rest.headers["Authorization"]
        return rest

    def check(self) -> dict[str, str]:
        """Return whether Supabase, its Postgres and our functions there answer.

        Calls a function without the token that it needs: the refusal comes from Postgres. (The
        address of the REST API itself would not do: Supabase answers there without Postgres.)
        """
        parts = {"supabase": "ok", "postgres": "unknown", "functions": "unknown"}
        try:
            answer = self._http.request(
                "POST",
                f"{self._settings.rest_url}/rpc/get_credits",
                headers={"apikey": self._settings.publishable_key},
                json={},
            )
            code = str(answer.json().get("code"))
        except (httpx.HTTPError, ValueError, AttributeError):
            return {**parts, "supabase": "away"}
        if answer.status_code >= 500:
            return {**parts, "postgres": "away"}
        if code == "PGRST202":
            return {**parts, "postgres": "ok", "functions": "missing"}
        if code in ("42501", "PGRST302"):  # Postgres, or PostgREST for it, refused a missing token
            return {**parts, "postgres": "ok", "functions": "ok"}
        return {**parts, "supabase": f"answers {answer.status_code}"}


def register(app: Flask, settings: Settings) -> None:
    """Give the application its way to Postgres."""
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


def call_page(function: str, **parameters: Any) -> tuple[list[Row], bool]:
    """Call a function that lists, and return the rows of a page and whether there are more."""
    rows = call(function, **parameters)
    beside = [row.pop("beside") for row in rows]
    return rows, bool(beside) and beside[-1]["has_more"]


def _call(client: SyncPostgrestClient, function: str, parameters: dict[str, Any]) -> list[Row]:
    try:
        with metrics.CALLS.track_inprogress():
            rows = client.rpc(function, parameters).execute().data
    except APIError as error:
        raise _refusal(function, error) from error
    except _NOT_SENT as error:
        _log.warning("%s: cannot reach Supabase: %s", function, type(error).__name__)
        raise Refusal(503, "UPSTREAM_UNAVAILABLE", _AWAY) from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        _log.warning("%s: no answer from Supabase: %s", function, type(error).__name__)
        raise Refusal(504, "OUTCOME_UNKNOWN", _UNKNOWN) from error
    if isinstance(rows, str):  # what postgrest makes of an answer that is not JSON
        _log.warning("%s: no JSON from Supabase", function)
        raise Refusal(504, "OUTCOME_UNKNOWN", _UNKNOWN)
    return cast(list[Row], rows)


def _refusal(function: str, error: APIError) -> Refusal:
    """Turn PostgREST's error into a refusal; only our own functions' words are passed on."""
    code = str(error.code)
    if code.startswith("PT") and code[2:].isdigit():
        refusal = Refusal(
            int(code[2:]), error.hint or "", error.message or "", _json(error.details)
        )
        if refusal.code == FLAT:
            refusal.question = {f"p_{name}": refusal.details.pop(name) for name in _ASK_AGAIN}
        return refusal
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
