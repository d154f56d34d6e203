"""The route of Prometheus."""

import hmac

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import NotFound

from api.config import Settings
from api.contract.endpoint import answers
from api.serving import metrics as counts
from api.serving.errors import Refusal

routes = Blueprint("metrics", __name__)


def register(app: Flask, settings: Settings) -> None:
    """Give the application the token that opens its metrics, and the place where they meet."""
    app.config["METRICS_TOKEN"] = settings.metrics_token
    app.config["METRICS_FOLDER"] = settings.metrics_folder


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
    found = counts.shown(current_app.config["METRICS_FOLDER"])
    return Response(found, content_type=CONTENT_TYPE_LATEST)
