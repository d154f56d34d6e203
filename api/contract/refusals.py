"""Every code that a refusal can have, for the contract; refusals.json says when each is."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from api.contract.response_models import Conflict, FreeTime, OwnConflict, Shape


class Shortage(Shape):
    """How many credits are missing."""

    required: int
    available: int
    short_by: int


class Taken(Shape):
    """What is in the way, and which times are free."""

    conflicting_sessions: list[OwnConflict | Conflict]
    suggested_times: list[FreeTime]


class Decided(Shape):
    """Where the session stands."""

    status: str
    cancellation_reason: str | None


class Unfinished(Shape):
    """Where the session stands."""

    status: str


class CalledOff(Shape):
    """How it came to be called off."""

    cancellation_reason: str | None


class NotOpen(Shape):
    """From when on it can be joined."""

    opens_at: datetime | None


class Expired(Shape):
    """Until when it could be answered."""

    approval_expires_at: datetime | None


class Wait(Shape):
    """After how many seconds to try again."""

    retry_after: int


class Assurance(Shape):
    """How strong a sign-in is asked for."""

    required_aal: str


DETAILS: dict[str, Any] = {
    "VALIDATION_ERROR": dict[str, str] | None,
    "INSUFFICIENT_CREDITS": Shortage,
    "AUTHORIZATION_ERROR": Assurance | None,
    "TIME_SLOT_CONFLICT": Taken,
    "SESSION_NOT_PENDING": Decided,
    "SESSION_NOT_CANCELLABLE": Decided,
    "SESSION_NOT_FINISHABLE": Unfinished,
    "SESSION_CANCELLED": CalledOff,
    "SESSION_NOT_OPEN": NotOpen,
    "SESSION_EXPIRED": Expired,
    "NONEXISTENT_LOCAL_TIME": dict[str, str],
    "RATE_LIMITED": Wait,
    "UPSTREAM_UNAVAILABLE": dict[str, str] | None,
}

REFUSALS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("refusals.json").read_text()
)
