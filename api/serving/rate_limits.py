"""Rate limits: requests are counted by the token's person, bad tokens by address."""

import logging
import math
import time

from flask import Flask, current_app
from limits import parse_many
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from api.config import LIMITS_TIMEOUT, Settings
from api.serving.errors import Refusal

_log = logging.getLogger(__name__)

_PAUSE = 10.0  # seconds for which a worker counts by itself, after the shared counters failed


class Limits:
    """Counts in the shared storage if there is one, else in this worker's memory."""

    def __init__(self, settings: Settings) -> None:
        """Read the limits; open no connection."""
        self._limits = parse_many(settings.rate_limit) if settings.rate_limit else []
        self._here = FixedWindowRateLimiter(MemoryStorage())
        self._shared = self._here
        self._shared_from = 0.0
        if url := settings.rate_limit_storage_url:
            storage = storage_from_string(
                url, socket_timeout=LIMITS_TIMEOUT, socket_connect_timeout=LIMITS_TIMEOUT
            )
            self._shared = FixedWindowRateLimiter(storage)

    def count(self, caller: str) -> None:
        """Count one request of a caller, or refuse it.

        Refusals: 429 RATE_LIMITED.
        """
        if time.monotonic() >= self._shared_from:
            try:
                return self._count(self._shared, caller)
            except Refusal:
                raise
            except Exception as error:  # whatever went wrong: no caller is refused for it
                _log.warning("rate limits: shared counters are away: %s", type(error).__name__)
                self._shared_from = time.monotonic() + _PAUSE
        return self._count(self._here, caller)

    def _count(self, counters: FixedWindowRateLimiter, caller: str) -> None:
        for limit in self._limits:
            if not counters.hit(limit, caller):
                left = counters.get_window_stats(limit, caller).reset_time - time.time()
                seconds = max(1, math.ceil(left))
                raise Refusal(
                    429,
                    "RATE_LIMITED",
                    f"Too many requests. Please try again in {seconds} s",
                    {"retry_after": seconds},
                )


def register(app: Flask, settings: Settings) -> None:
    """Give the application its counters."""
    app.extensions["limits"] = Limits(settings)


def count(caller: str) -> None:
    """Count one request of a caller, or refuse it with 429 RATE_LIMITED."""
    current_app.extensions["limits"].count(caller)
