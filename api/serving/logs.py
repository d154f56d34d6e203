"""The log: one line of JSON for each request, with its id; requests are counted here too."""

import logging
import re
import time
from typing import Any
from uuid import uuid4

from flask import Flask, Response, g, has_request_context, request

from api.serving import metrics

_log = logging.getLogger(__name__)

_SANE_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_CONVERTER = re.compile(r"<\w+:")

# For logging.config.dictConfig; serve.py hands it to Granian, which adds its own logger's level.
CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"in_request": {"()": "api.serving.logs.InRequest"}},
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": ["levelname", "name", "message"],
            "rename_fields": {"levelname": "level", "name": "logger"},
            "timestamp": "time",
        }
    },
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
            "filters": ["in_request"],
        }
    },
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {},
}


class InRequest(logging.Filter):
    """Adds the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line pass."""
        if has_request_context():
            record.request_id = g.get("request_id")
        return True


def register(app: Flask) -> None:
    """Give each request an id, measure it and log it."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _SANE_ID.fullmatch(given) else uuid4().hex


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    # The rule, not the path: a path has ids in it, and a query can have anything.
    route = _CONVERTER.sub("<", request.url_rule.rule) if request.url_rule else "none"
    response.headers["X-Request-Id"] = g.request_id
    metrics.REQUESTS.labels(route, response.status_code).observe(seconds)
    if request.endpoint == "sessions.approve" and request.method == "POST":
        metrics.APPROVALS.labels(g.get("code", "UNKNOWN")).inc()
    _log.info(
        "request",
        extra={
            "method": request.method,
            "route": route,
            "status": response.status_code,
            "code": g.get("code"),
            "ms": round(seconds * 1000, 1),
        },
    )
    return response
