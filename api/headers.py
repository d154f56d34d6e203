"""The headers of every answer: what browsers may do with it, and which origins may read it."""

from flask import Flask, Response


def register(app: Flask) -> None:
    """Add the headers that no route has to think of."""
    app.after_request(_secure)


def _secure(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    if response.is_json:  # somebody's sessions and credits: for them alone, and never a page
        headers["Cache-Control"] = "no-store"
        headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    return response
