"""The session approval API: create_app() is the only place that knows all the parts."""

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from api import supabase, video
from api.config import MAX_BODY_BYTES, Settings, load_settings
from api.identity import auth
from api.routes import (
    credits,
    health,
    join,
    metrics,
    openapi,
    pages,
    sessions,
    therapist,
    webhook,
)
from api.serving import errors, headers, logs, rate_limits


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
    rate_limits.register(app, settings)
    auth.register(app, settings)
    supabase.register(app, settings)
    video.register(app, settings)
    metrics.register(app, settings)
    webhook.register(app, settings)
    for part in (therapist, sessions, join, credits, webhook, health, metrics, openapi, pages):
        app.register_blueprint(part.routes)
    return app
