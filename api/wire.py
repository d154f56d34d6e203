"""The way to Supabase: HTTP/1.1 over kept connections, at less than half of what httpx costs."""

import http.client
import select
from collections import deque
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from api.config import CONNECT_TIMEOUT, RPC_TIMEOUT

_KEPT = 16  # connections that wait for their next call, at most

_Connection = http.client.HTTPConnection


class Wire(httpx.Client):
    """An httpx client of one address, as postgrest wants one, whose request() is http.client's.

    Where the environment names a proxy it is httpx's own, which knows them. Nothing is sent twice:
    a call whose connection broke may have been done.
    """

    def __init__(self, address: str) -> None:
        """Open no connection yet; the first call does."""
        self._tls = httpx.create_ssl_context()
        super().__init__(
            verify=self._tls, timeout=httpx.Timeout(RPC_TIMEOUT, connect=CONNECT_TIMEOUT)
        )
        self._address = urlsplit(address)
        # What an answer names as its request: postgrest asks it for a header that none of ours has.
        self._asked = httpx.Request("POST", address)
        self._proxied = _has_proxy(self._address.scheme, self._address.hostname or "")
        self._kept: deque[_Connection] = deque()

    def request(self, method: str, url: Any, **asked: Any) -> httpx.Response:
        """Send a request and return its answer, or raise httpx's ConnectError or TransportError."""
        if self._proxied:
            return super().request(method, url, **asked)
        connection = self._kept_one() or self._connect()
        try:
            return self._ask(connection, method, urlsplit(str(url)).path, **asked)
        except BaseException:
            connection.close()
            raise

    def _ask(
        self,
        connection: _Connection,
        method: str,
        path: str,
        *,
        headers: httpx.Headers,
        content: bytes,
        params: httpx.QueryParams | None = None,
        auth: None = None,  # noqa: ARG002 - postgrest names it, and our callers are in the headers
    ) -> httpx.Response:
        try:
            connection.request(
                method, f"{path}?{params}" if params else path, content, dict(headers)
            )
            answer = connection.getresponse()
            framed = answer.chunked or answer.length is not None
            body = answer.read()
            if not framed and not body:  # http.client takes a head that breaks off for a whole one
                raise http.client.IncompleteRead(body)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise httpx.ReadError(str(error)) from error
        response = httpx.Response(
            answer.status, headers=answer.getheaders(), content=body, request=self._asked
        )
        if answer.will_close or len(self._kept) >= _KEPT:
            connection.close()
        else:
            self._kept.append(connection)
        return response

    def _kept_one(self) -> _Connection | None:
        """Return the connection used last, passing over those that the server has closed since."""
        while True:
            try:
                connection = self._kept.pop()
            except IndexError:
                return None
            if not _has_something_to_say(connection):
                return connection
            connection.close()

    def _connect(self) -> _Connection:
        host, port = self._address.hostname or "", self._address.port
        connection: _Connection
        if self._address.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=CONNECT_TIMEOUT, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)
        try:
            connection.connect()
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        connection.sock.settimeout(RPC_TIMEOUT)
        return connection


def _has_something_to_say(connection: _Connection) -> bool:
    """Tell a connection at rest from one that the server has closed, or speaks on unasked."""
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return bool(waiting.poll(0))


def _has_proxy(scheme: str, host: str) -> bool:
    """Say whether the environment sends calls to this host through a proxy."""
    return scheme in getproxies() and not proxy_bypass(host)
