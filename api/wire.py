"""The way to Supabase: urllib3's kept connections, at half of what httpx costs, under postgrest."""

import ssl
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from api.config import CONNECT_TIMEOUT, RPC_TIMEOUT

_KEPT = 16  # connections that wait for their next call, at most


class Wire(httpx.Client):
    """An httpx client of one address, as postgrest wants one, whose request() is urllib3's.

    Where the environment names a proxy it is httpx's own, which knows them. Nothing is sent twice:
    a call whose connection broke may have been done.
    """

    def __init__(self, address: str) -> None:
        """Open no connection yet; the first call does."""
        tls = httpx.create_ssl_context()
        super().__init__(verify=tls, timeout=httpx.Timeout(RPC_TIMEOUT, connect=CONNECT_TIMEOUT))
        # What an answer names as its request: postgrest asks it for a header that none of ours has.
        self._asked = httpx.Request("POST", address)
        self._proxied = _has_proxy(address)
        self._pool = urllib3.connection_from_url(
            address,
            maxsize=_KEPT,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=RPC_TIMEOUT),
            retries=False,
            **({"ssl_context": tls} if address.startswith("https:") else {}),
        )

    def request(self, method: str, url: Any, **asked: Any) -> httpx.Response:
        """Send a request and return its answer, or raise httpx's ConnectError or TransportError."""
        if self._proxied:
            return super().request(method, url, **asked)
        path, params = urlsplit(str(url)).path, asked.get("params")
        try:
            answer = self._pool.urlopen(
                method,
                f"{path}?{params}" if params else path,
                body=asked["content"],
                headers=dict(asked["headers"]),
                redirect=False,
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise httpx.ConnectError(str(error)) from error
        except ReadTimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except HTTPError as error:
            if isinstance(error, SSLError) and isinstance(error.args[0], ssl.CertificateError):
                raise httpx.ConnectError(str(error)) from error
            raise httpx.ReadError(str(error)) from error
        framed = answer.length_remaining is not None or "transfer-encoding" in answer.headers
        if not framed and not answer.data:  # a head that breaks off is taken for a whole one
            raise httpx.ReadError("the answer broke off")
        return httpx.Response(
            answer.status,
            headers=list(answer.headers.items()),
            content=answer.data,
            request=self._asked,
        )


def _has_proxy(address: str) -> bool:
    """Say whether the environment sends calls to this address through a proxy."""
    parts = urlsplit(address)
    return parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")
