"""The route on which Daily tells what happens in its rooms; absent where no secret is set up."""

import base64
import hmac
import json
import logging
import re
import time
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.exceptions import NotFound

from api import supabase
from api.config import Settings
from api.contract.endpoint import answer, answers
from api.contract.response_models import Shape
from api.serving.errors import Refusal

log = logging.getLogger(__name__)

FRESH = 300  # seconds that a signature is good for, and that clocks may differ
_PROBE = {"test": "test"}

routes = Blueprint("webhook", __name__)


def register(app: Flask, settings: Settings) -> None:
    """Give the application what it checks events with, if it can also pass them on."""
    can_pass_on = settings.secret_key is not None
    app.extensions["webhook_secret"] = settings.daily_webhook_secret if can_pass_on else None


class Recorded(Shape):
    """Daily need not send this event again."""

    recorded: bool
    """Whether it told us something."""


@routes.post("/api/daily/webhook")
@answers(
    Recorded,
    headers={
        "X-Webhook-Timestamp": "When it was sent, in unix seconds or milliseconds.",
        "X-Webhook-Signature": "HMAC-SHA256 of the timestamp, a dot and the body, in base64.",
    },
    refuses=[
        "VALIDATION_ERROR",
        "AUTHENTICATION_ERROR",
        "NOT_FOUND",
        "PAYLOAD_TOO_LARGE",
        "UPSTREAM_UNAVAILABLE",
    ],
    sign_in=None,
)
def daily() -> Response:
    """Take one of Daily's events, signed by Daily; one that tells us nothing is a success too.

    Daily stops after three failures, so only what is worth repeating, or not Daily's, is refused.
    The probe that it sends while a webhook is made is answered unsigned: its secret may be unknown
    until then, and nothing is done.
    """
    if current_app.extensions["webhook_secret"] is None:
        raise NotFound
    raw = request.get_data()
    if len(raw) < 64 and _json(raw) == _PROBE:
        return answer(recorded=False)
    if not _is_from_daily(raw):
        raise Refusal(401, "AUTHENTICATION_ERROR", "This is not signed by Daily, or not just now")
    event = _json(raw)
    if not isinstance(event, dict):
        raise Refusal(400, "VALIDATION_ERROR", "The event is not a JSON object")
    try:
        [kept] = supabase.call_as_server("record_video_event", p_event=event)
    except Refusal as refusal:
        if refusal.status == 400:
            raise
        log.error("record_video_event: %s", refusal.code)  # a bad key among them: ours to mend
        raise Refusal(503, "UPSTREAM_UNAVAILABLE", "Please send it again later") from refusal
    return answer(recorded=kept["recorded"])


def _is_from_daily(raw: bytes) -> bool:
    """Whether the body is signed with our secret, and was within the last minutes."""
    timestamp = request.headers.get("X-Webhook-Timestamp", "")
    if not re.fullmatch("[0-9]{10}(?:[0-9]{3})?", timestamp):  # seconds, or milliseconds
        return False
    secret = current_app.extensions["webhook_secret"]
    signature = base64.b64encode(hmac.digest(secret, f"{timestamp}.".encode() + raw, "sha256"))
    given = request.headers.get("X-Webhook-Signature", "").encode()
    return hmac.compare_digest(signature, given) and abs(time.time() - int(timestamp[:10])) <= FRESH


def _json(raw: bytes) -> Any:
    """Read what can be sent on as JSON: neither infinities nor half characters; else None."""
    try:
        value = json.loads(raw)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return value
