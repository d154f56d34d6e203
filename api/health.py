"""The routes of whoever runs the API: is it up, and can it reach what it needs."""

from flask import Blueprint, Response, current_app

from api.answers import answer

routes = Blueprint("health", __name__)


@routes.get("/healthz")
def healthz() -> Response:
    """Say that this process answers."""
    return answer(status="ok")


@routes.get("/readyz")
def readyz() -> Response:
    """Say that Supabase answers too.

    Refusals: 503 UPSTREAM_UNAVAILABLE.
    """
    current_app.extensions["supabase"].ping()
    return answer(status="ok")
