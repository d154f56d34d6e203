"""The routes of whoever runs the API: is it up, and can it reach what it needs."""

import time

from flask import Blueprint, Response, current_app

from api.contract.endpoint import answer, answers
from api.contract.response_models import Shape
from api.serving.errors import Refusal

routes = Blueprint("health", __name__)

_SECONDS = 2.0  # for which a look holds: whoever asks for more asks Supabase no more often


class Alive(Shape):
    """This process answers."""

    status: str


class Ready(Alive):
    """Everything that approving needs answers."""

    supabase: str
    postgres: str
    functions: str
    keys: str


@routes.get("/healthz")
@answers(Alive, sign_in=None)
def healthz() -> Response:
    """Say that this process answers."""
    return answer(status="ok")


@routes.get("/readyz")
@answers(Ready, refuses=["UPSTREAM_UNAVAILABLE"], sign_in=None)
def readyz() -> Response:
    """Say that all which approving needs answers too; video is not among it."""
    found = _looked_up()
    if set(found.values()) != {"ok"}:
        raise Refusal(503, "UPSTREAM_UNAVAILABLE", "Not everything that is needed answers", found)
    return answer(status="ok", **found)


def _looked_up() -> dict[str, str]:
    """Look at what the API needs, or remember the look of a moment ago."""
    looked = current_app.extensions.get("readiness")
    if looked is None or time.monotonic() - looked[0] > _SECONDS:
        found = current_app.extensions["supabase"].check()
        found["keys"] = "ok" if current_app.extensions["token_verifier"].ready() else "away"
        looked = current_app.extensions["readiness"] = (time.monotonic(), found)
    return dict(looked[1])
