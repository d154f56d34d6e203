"""Answers every failure in one JSON shape."""

import logging
import traceback
from typing import Any

from flask import Flask, Response, g, jsonify
from werkzeug.exceptions import HTTPException

_log = logging.getLogger(__name__)

# The contract's codes for the errors that Flask itself raises.
_HTTP_CODES = {
    400: "VALIDATION_ERROR",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
}

FLAT = "TIME_SLOT_CONFLICT"  # its details stand beside the message too, for older screens


class Refusal(Exception):
    """The answer is no: status for HTTP, code for programs, message for people."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        """Take the answer's parts; details is JSON that helps the caller to go on."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.question: dict[str, Any] = {}  # with which more can be asked, when the code allows it


def not_json() -> Refusal:
    """Return the refusal of a body that is not JSON."""
    return Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send JSON, as application/json")


def register(app: Flask) -> None:
    """Answer every failure of the application in the one shape."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _shape(status: int, code: str, message: str, details: Any = None) -> Response:
    g.code = code  # for the log's line and the metrics
    body = {"success": False, "error": message, "code": code, "details": details}
    if code == FLAT:
        body |= details
    response = jsonify(body)
    response.status_code = status
    return response


def _refused(refusal: Refusal) -> Response:
    response = _shape(refusal.status, refusal.code, refusal.message, refusal.details)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.status == 429:
        response.headers["Retry-After"] = str(refusal.details["retry_after"])
    return response


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    response = _shape(
        status, _HTTP_CODES.get(status, "HTTP_ERROR"), error.description or error.name
    )
    if allowed := getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _unexpected(error: Exception) -> Response:
    # The log gets the place and the type. An exception's message may hold a token, title or note.
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("unexpected %s\n%s", type(error).__name__, where)
    return _shape(500, "INTERNAL_ERROR", "Something went wrong on our side")
