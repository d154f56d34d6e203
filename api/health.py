"""The routes of whoever runs the API: is it up, and can it reach what it needs."""

from flask import Blueprint, Response, current_app

from api.answers import answer
from api.errors import Refusal

routes = Blueprint("health", __name__)


@routes.get("/healthz")
def healthz() -> Response:
    """Say that this process answers."""
    return answer(status="ok")


@routes.get("/readyz")
def readyz() -> Response:
    """Say that all which approving needs answers too; video is not among it.

    Refusals: 503 UPSTREAM_UNAVAILABLE, whose details tell which part is away.
    """
    found = current_app.extensions["supabase"].check()
    found["keys"] = "ok" if current_app.extensions["token_verifier"].ready() else "away"
    if set(found.values()) != {"ok"}:
        raise Refusal(503, "UPSTREAM_UNAVAILABLE", "Not everything that is needed answers", found)
    return answer(status="ok", **found)
