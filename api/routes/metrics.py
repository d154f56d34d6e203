"""The route of Prometheus."""

import hmac

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    generate_latest,
    multiprocess,
)
from werkzeug.exceptions import NotFound

from api.config import Settings
from api.contract.endpoint import answers
from api.serving.errors import Refusal

routes = Blueprint("metrics", __name__)


def register(app: Flask, settings: Settings) -> None:
    """Give the application the token that opens its metrics."""
    app.config["METRICS_TOKEN"] = settings.metrics_token


@routes.get("/metrics")
@answers("text/plain", refuses=["AUTHENTICATION_ERROR", "NOT_FOUND"], sign_in="metrics")
def metrics() -> Response:
    """Show the metrics of all workers to a caller with METRICS_TOKEN."""
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
