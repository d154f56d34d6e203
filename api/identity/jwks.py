"""The project's public keys: kept ten minutes, and longer while they cannot be fetched."""

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any

import httpx
import jwt

from api.config import JWKS_TIMEOUT

_log = logging.getLogger(__name__)

_LIFESPAN = 600.0  # seconds until keys are fetched again
_PAUSE = 30.0  # seconds until the next fetch for an unknown key, or after a fetch that failed
_MAX_BYTES = 64 * 1024

# The kinds of keys that count, and the one algorithm that each verifies. A shared secret (oct) that
# is published by mistake does not count: everybody who reads it could sign tokens with it.
_ALGORITHMS = {("EC", "P-256"): "ES256", ("RSA", None): "RS256"}


class KeysUnavailable(Exception):
    """There are no keys: no fetch has succeeded yet."""


class PublicKeys:
    """A project's keys; each verifies one algorithm."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the keys' address; the first token makes them be fetched."""
        self._url = url
        self._clock = clock
        self._http = httpx.Client(timeout=JWKS_TIMEOUT)
        # A socket's timeout limits one read, not the whole answer. So the fetch runs in a thread
        # that callers can stop waiting for; it is one thread, so there is one fetch at a time.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keys")
        self._lock = Lock()
        self._keys: dict[str, jwt.PyJWK] | None = None
        self._fetch_from = 0.0  # the clock's time at which the keys are next fetched
        self._unknown_from = 0.0  # the time from which an unknown key makes them be fetched sooner
        self._fetching: Future[None] | None = None
        self._deadline = 0.0

    def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key with this id, None if the project has no such key.

        Raises KeysUnavailable. Waits for a fetch, 3 s at most; if the key is known, only the caller
        that starts the fetch waits.
        """
        key = (self._keys or {}).get(kid)
        if key is None or self._clock() >= self._fetch_from:
            self._wait_for_fetch(unknown=key is None)
        if self._keys is None:
            raise KeysUnavailable
        return self._keys.get(kid)

    def ready(self) -> bool:
        """Return whether there are keys, old ones included; fetch them if there are none."""
        if self._keys is None:
            self._wait_for_fetch(unknown=True)
        return self._keys is not None

    def count(self) -> int | None:
        """Return how many keys the project has, None if they cannot be fetched."""
        return len(self._keys or {}) if self.ready() else None

    def _wait_for_fetch(self, *, unknown: bool) -> None:
        with self._lock:
            fetching, now = self._fetching, self._clock()
            if fetching is None or fetching.done():
                if self._keys is not None:
                    if now < self._fetch_from and not (unknown and now >= self._unknown_from):
                        return
                    self._unknown_from = now + _PAUSE
                self._fetch_from = now + _PAUSE  # if this fetch fails
                self._deadline = time.monotonic() + JWKS_TIMEOUT
                fetching = self._fetching = self._thread.submit(self._fetch, self._deadline)
            elif not unknown:
                return
        wait([fetching], max(0.0, self._deadline - time.monotonic()))

    def _fetch(self, deadline: float) -> None:
        raw = b""
        try:
            with self._http.stream("GET", self._url) as response:
                response.raise_for_status()
                for chunk in response.iter_bytes():
                    raw += chunk
                    if len(raw) > _MAX_BYTES or time.monotonic() > deadline:
                        raise TimeoutError
            keys = dict(filter(None, map(_key, json.loads(raw)["keys"])))
        except Exception as error:  # whatever went wrong: the old keys stay in use
            _log.warning("public keys: %s", type(error).__name__)
            return
        if not keys:
            _log.warning("public keys: none for ES256 or RS256; is SUPABASE_JWT_SECRET missing?")
        self._keys, self._fetch_from = keys, self._clock() + _LIFESPAN


def _key(published: dict[str, Any]) -> tuple[str, jwt.PyJWK] | None:
    """Return a key with its id, None if it is not for verifying tokens."""
    algorithm = _ALGORITHMS.get((published.get("kty", ""), published.get("crv")))
    kid = published.get("kid")
    if algorithm is None or not isinstance(kid, str):
        return None
    if published.get("alg", algorithm) != algorithm or published.get("use", "sig") != "sig":
        return None
    if "verify" not in published.get("key_ops", ["verify"]):
        return None
    try:
        return kid, jwt.PyJWK(published, algorithm)
    except jwt.PyJWTError:
        return None
