"""The headers of every answer: what browsers may do with it, and which origins may read it."""

from flask import Flask, Response, current_app, request
from flask_cors import CORS

from api.config import Settings

# For the pages: nothing inline, nothing from other servers, no HTML made of strings; pictures are
# data in the style sheet. A frame shows a video room, whose address is known only when somebody
# joins: so every https address is allowed (with http, browsers give no camera), and this machine.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src https: http://127.0.0.1:* http://localhost:*; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def register(app: Flask, settings: Settings) -> None:
    """Add the headers that no route has to think of."""
    app.before_request(_preflight)
    app.after_request(_secure)
    app.config["ALLOWED_ORIGINS"] = settings.allowed_origins
    if settings.allowed_origins:
        CORS(
            app,
            resources=r"/api/.*",
            origins=list(settings.allowed_origins),
            methods=["GET", "POST"],
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"),
                "X-Request-Id",
            ],
            expose_headers=["Date", "ETag", "Retry-After", "X-Request-Id"],
            supports_credentials=settings.cookies is not None,  # else the token is a header
            always_send=False,
            max_age=600,
        )


def _preflight() -> Response | None:
    """Answer OPTIONS before the token is checked, because browsers send none with it."""
    if request.method == "OPTIONS" and request.url_rule is not None:
        return current_app.make_default_options_response()
    return None


def _secure(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    if response.is_json:  # it holds one person's data: no cache may keep it, and it is no page
        headers["Cache-Control"] = "no-store"
        headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    if current_app.config["ALLOWED_ORIGINS"] and request.path.startswith("/api/"):
        response.vary.add("Origin")  # also where an origin is refused
    return response
