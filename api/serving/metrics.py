"""What Prometheus reads: requests, approvals by outcome, the video provider's faults."""

import hmac

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from werkzeug.exceptions import NotFound

from api.config import Settings
from api.contract.responses import answers
from api.serving.errors import Refusal

routes = Blueprint("metrics", __name__)

REQUESTS = Histogram(
    "http_request_seconds", "Requests, by route template and status", ["route", "status"]
)
APPROVALS = Counter("approvals", "Answers to approvals, by outcome", ["outcome"])
VIDEO_FAULTS = Counter("video_faults", "Faults of the video provider, by kind", ["kind"])
CALLS = Gauge(
    "supabase_calls_in_progress", "Calls that wait for Supabase", multiprocess_mode="livesum"
)


def register(app: Flask, settings: Settings) -> None:
    """Give the application the token that opens its metrics."""
    app.config["METRICS_TOKEN"] = settings.metrics_token


def observe(route: str, status: int, seconds: float) -> None:
    """Count a request; an approval by its outcome too."""
    REQUESTS.labels(route, status).observe(seconds)
    if request.endpoint == "sessions.approve" and request.method == "POST":
        APPROVALS.labels(g.get("code", "UNKNOWN")).inc()


@routes.get("/metrics")
@answers("text/plain")
def metrics() -> Response:
    """Show the metrics of all workers to whoever has METRICS_TOKEN.

    Refusals: 401 AUTHENTICATION_ERROR, 404 NOT_FOUND (no METRICS_TOKEN is set).
    """
    token = current_app.config["METRICS_TOKEN"]
    if token is None:
        raise NotFound
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise Refusal(401, "AUTHENTICATION_ERROR", "Metrics need their own token")
    registry = CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:  # one process: gunicorn.conf.py names the folder that several share
        registry = REGISTRY
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
