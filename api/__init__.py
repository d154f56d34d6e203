"""The session approval API: create_app() is the only place that knows all the rooms."""

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from api import (
    auth,
    contract,
    credits,
    errors,
    headers,
    health,
    limits,
    logs,
    metrics,
    rpc,
    screens,
    sessions,
    therapist,
    video,
    webhook,
)
from api.config import MAX_BODY_BYTES, Settings, load_settings


class _InOrder(DefaultJSONProvider):
    """JSON whose fields stand in the order in which they were given."""

    sort_keys = False


def create_app(settings: Settings | None = None) -> Flask:
    """Build the WSGI application from the environment, or from settings given."""
    settings = settings or load_settings()
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json = _InOrder(app)
    logs.register(app)
    headers.register(app, settings)
    errors.register(app)
    metrics.register(app, settings)
    limits.register(app, settings)
    auth.register(app, settings)
    rpc.register(app, settings)
    video.register(app, settings)
    webhook.register(app, settings)
    for part in (therapist, sessions, video, credits, webhook, health, metrics, contract, screens):
        app.register_blueprint(part.routes)
    return app
