"""The stand-in over HTTP: Daily's REST API under /v1, a page for each room, a control for tests."""

import socket
import threading
import time
from collections import deque
from importlib.resources import files
from typing import Any

from flask import Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from scripts.local.fake_daily.faults import API, Fault, Faults
from scripts.local.fake_daily.state import ApiError, House, Refused

_FILES = files("scripts.local.fake_daily")
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app(api_key: str, domain: str, base_url: str, limits: bool = False) -> Flask:
    """The stand-in as a WSGI app. With limits it answers 429 as often as Daily would: beyond 100
    requests in 5 seconds, or 50 deletions in 30."""
    app = Flask(__name__, static_folder=None)
    house = House(api_key, domain, base_url)
    faults = Faults(app.wsgi_app)
    app.wsgi_app = faults  # type: ignore[method-assign]
    everything, deletions = _Limit(100, 5.0), _Limit(50, 30.0)

    @app.before_request
    def guard() -> None:
        if not request.path.startswith(f"{API}/"):
            return
        header = request.headers.get("Authorization", "")
        if not header.startswith("Bearer "):
            raise ApiError(400, "authorization-header-error", "an API key is required")
        if header != f"Bearer {api_key}":
            raise ApiError(401, "authentication-error")
        tight = deletions if request.method == "DELETE" else everything
        if limits and not tight.allows():
            raise ApiError(429, "rate-limit-error")

    @app.errorhandler(ApiError)
    def refused_by_api(error: ApiError) -> ResponseReturnValue:
        return jsonify(error.body), error.status

    @app.errorhandler(Refused)
    def refused_by_room(refusal: Refused) -> ResponseReturnValue:
        return jsonify(refusal.body), 403

    @app.errorhandler(HTTPException)
    def refused_by_flask(error: HTTPException) -> ResponseReturnValue:
        return jsonify(error="not-found" if error.code == 404 else "invalid-request-error"), (
            error.code or 500
        )

    @app.get(f"{API}/")
    def domain_config() -> ResponseReturnValue:
        return jsonify(domain_name=domain, domain_id=house.domain_id, config={})

    @app.get(f"{API}/rooms")
    def list_rooms() -> ResponseReturnValue:
        return jsonify(house.listed(**request.args.to_dict()))

    @app.post(f"{API}/rooms")
    def create_room() -> ResponseReturnValue:
        return jsonify(house.create(_json()))

    @app.get(f"{API}/rooms/<name>")
    def read_room(name: str) -> ResponseReturnValue:
        return jsonify(house.read(name))

    @app.post(f"{API}/rooms/<name>")
    def change_room(name: str) -> ResponseReturnValue:
        return jsonify(house.change(name, _json()))

    @app.delete(f"{API}/rooms/<name>")
    def delete_room(name: str) -> ResponseReturnValue:
        return jsonify(house.delete(name))

    @app.post(f"{API}/meeting-tokens")
    def issue_token() -> ResponseReturnValue:
        return jsonify(house.issue(_json()))

    @app.get(f"{API}/meeting-tokens/<token>")
    def validate_token(token: str) -> ResponseReturnValue:
        return jsonify(house.validate(token))

    @app.get("/<name>")
    def page(name: str) -> ResponseReturnValue:  # noqa: ARG001  (the page reads it from its address)
        return Response(_text("room.html"), mimetype="text/html", headers=_PAGE_HEADERS)

    @app.get("/assets/<file>")
    def asset(file: str) -> ResponseReturnValue:
        form = {"room.js": "text/javascript", "room.css": "text/css"}.get(file)
        if form is None:
            raise ApiError(404, "not-found")
        return Response(_text(file), mimetype=form, headers=_PAGE_HEADERS)

    @app.post("/<name>/join")
    def join(name: str) -> ResponseReturnValue:
        token = _json().get("token")
        return jsonify(house.join(name, str(token) if token else None))

    @app.post("/<name>/poll")
    def poll(name: str) -> ResponseReturnValue:  # noqa: ARG001  (a seat knows its room)
        body = _json()
        return jsonify(house.poll(str(body.get("seat")), int(body.get("after", 0))))

    @app.post("/<name>/say")
    def say(name: str) -> ResponseReturnValue:  # noqa: ARG001
        body = _json()
        house.say(str(body.get("seat")), int(body.get("to", 0)), body.get("body") or {})
        return jsonify({})

    @app.post("/<name>/leave")
    def leave(name: str) -> ResponseReturnValue:  # noqa: ARG001
        house.leave(str(_json().get("seat")))
        return jsonify({})

    @app.post("/control/faults")
    def ask_for_faults() -> ResponseReturnValue:
        try:
            faults.add(Fault(**_json()))
        except (TypeError, ValueError) as error:
            raise ApiError(400, "invalid-request-error", str(error)) from None
        return jsonify(faults.overview())

    @app.delete("/control/faults")
    def no_more_faults() -> ResponseReturnValue:
        faults.clear()
        return jsonify(faults.overview())

    @app.get("/control/requests")
    def requests_so_far() -> ResponseReturnValue:
        return jsonify(**faults.overview(), rooms=house.overview())

    @app.post("/control/reset")
    def reset() -> ResponseReturnValue:
        house.reset()
        faults.reset()
        return jsonify({})

    return app


def bind(
    api_key: str, domain: str, port: int = 0, limits: bool = False
) -> tuple[BaseWSGIServer, str]:
    """A threaded server on 127.0.0.1, bound and not yet serving, and its address; 0 is any port."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = create_app(api_key, domain, base_url, limits)
        server = make_server(
            "127.0.0.1",
            port,
            app,
            threaded=True,
            request_handler=_QuietHandler,
            fd=listening.fileno(),
        )
    return server, base_url


class _QuietHandler(WSGIRequestHandler):
    """Says nothing of a request: its address may hold a token."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None: ...


class _Limit:
    """So many requests within so many seconds."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Count one request, unless it is one too many."""
        with self._lock:
            now = time.monotonic()
            while self._times and self._times[0] <= now - self._seconds:
                self._times.popleft()
            if len(self._times) >= self._most:
                return False
            self._times.append(now)
            return True


def _json() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise ApiError(400, "json-parsing-error", "the body is not a JSON object")
    return body


def _text(file: str) -> str:
    return _FILES.joinpath(file).read_text(encoding="utf-8")
