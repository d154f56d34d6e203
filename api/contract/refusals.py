"""All codes of refusals; refusals.json says when each is answered, and has an example."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import create_model

from api.contract.response_models import Conflict, FreeTime, OwnConflict, Shape
from api.serving.errors import FLAT


class Refused(Shape):
    """The answer is no."""

    success: Literal[False]
    error: str
    code: str
    details: None


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


# The type of each code's details; a code that is not here has none.
_DETAILS: dict[str, Any] = {
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


def refusal_model(code: str) -> type[Refused]:
    """Return the model of the refusal with this code."""
    bases: Any = (Refused, Taken) if code == FLAT else Refused
    own: Any = {"code": (Literal[code], ...), "details": (_DETAILS.get(code), ...)}
    model: type[Refused] = create_model(code, __base__=bases, __doc__=REFUSALS[code]["when"], **own)
    return model


def refusal_example(code: str) -> dict[str, Any]:
    """Return an example of the refusal with this code."""
    error, details = REFUSALS[code]["error"], REFUSALS[code]["details"]
    body = {"success": False, "error": error, "code": code, "details": details}
    return body | (details if code == FLAT else {})
