"""The stand-in over HTTP: Daily's REST API, a page for each room, and what tests need."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from scripts.local.fake_daily.faults import API, Fault, Faults
from scripts.local.fake_daily.rules import ApiError, Refused
from scripts.local.fake_daily.state import Rooms

_FILES = files("scripts.local.fake_daily")
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app(api_key: str, domain: str, base_url: str, limits: bool = False) -> Flask:
    """Build the stand-in as a WSGI app.

    With limits it answers 429 as often as Daily would: beyond 100 requests in 5 seconds, or 50
    deletions in 30.
    """
    app = Flask(__name__, static_folder=None)
    rooms = Rooms(api_key, domain, base_url)
    faults = Faults(app.wsgi_app)
    app.wsgi_app = faults  # type: ignore[method-assign]
    app.before_request(_guard(api_key, limits))
    app.register_error_handler(ApiError, _refused_by_api)
    app.register_error_handler(Refused, _refused_by_room)
    app.register_error_handler(HTTPException, _refused_by_flask)
    app.register_blueprint(_rest_api(rooms, domain))
    app.register_blueprint(_pages(rooms))
    app.register_blueprint(_control(rooms, faults))
    return app


def _guard(api_key: str, limits: bool) -> Callable[[], None]:
    """Return the check of a request's key, and of how many there are."""
    everything, deletions = _Limit(100, 5.0), _Limit(50, 30.0)

    def guard() -> None:
        if not request.path.startswith(f"{API}/"):
            return
        header = request.headers.get("Authorization", "")
        if not header.startswith("Bearer "):
            raise ApiError(400, "authorization-header-error", "an API key is required")
        if header != f"Bearer {api_key}":
            raise ApiError(401, "authentication-error")
        limit = deletions if request.method == "DELETE" else everything
        if limits and not limit.allows():
            raise ApiError(429, "rate-limit-error")

    return guard


def _refused_by_api(error: ApiError) -> ResponseReturnValue:
    return jsonify(error.body), error.status


def _refused_by_room(refusal: Refused) -> ResponseReturnValue:
    return jsonify(refusal.body), 403


def _refused_by_flask(error: HTTPException) -> ResponseReturnValue:
    word = "not-found" if error.code == 404 else "invalid-request-error"
    return jsonify(error=word), error.code or 500


def _rest_api(rooms: Rooms, domain: str) -> Blueprint:
    """Return Daily's REST API, as far as this product uses it."""
    routes = Blueprint("rest_api", __name__, url_prefix=API)

    @routes.get("/")
    def domain_config() -> ResponseReturnValue:
        return jsonify(domain_name=domain, domain_id=rooms.domain_id, config={})

    @routes.get("/rooms")
    def list_rooms() -> ResponseReturnValue:
        return jsonify(rooms.listed(**request.args.to_dict()))

    @routes.post("/rooms")
    def create_room() -> ResponseReturnValue:
        return jsonify(rooms.create(_json()))

    @routes.get("/rooms/<name>")
    def read_room(name: str) -> ResponseReturnValue:
        return jsonify(rooms.read(name))

    @routes.post("/rooms/<name>")
    def change_room(name: str) -> ResponseReturnValue:
        return jsonify(rooms.change(name, _json()))

    @routes.delete("/rooms/<name>")
    def delete_room(name: str) -> ResponseReturnValue:
        return jsonify(rooms.delete(name))

    @routes.post("/meeting-tokens")
    def issue_token() -> ResponseReturnValue:
        return jsonify(rooms.issue(_json()))

    @routes.get("/meeting-tokens/<token>")
    def validate_token(token: str) -> ResponseReturnValue:
        return jsonify(rooms.validate(token))

    return routes


def _pages(rooms: Rooms) -> Blueprint:
    """Return the page of each room, and what it asks for."""
    routes = Blueprint("pages", __name__)

    @routes.get("/<name>")
    def page(name: str) -> ResponseReturnValue:  # noqa: ARG001 - the page reads it from its address
        return Response(_text("room.html"), mimetype="text/html", headers=_PAGE_HEADERS)

    @routes.get("/assets/<file>")
    def asset(file: str) -> ResponseReturnValue:
        form = {"room.js": "text/javascript", "room.css": "text/css"}.get(file)
        if form is None:
            raise ApiError(404, "not-found")
        return Response(_text(file), mimetype=form, headers=_PAGE_HEADERS)

    @routes.post("/<name>/join")
    def join(name: str) -> ResponseReturnValue:
        token = _json().get("token")
        return jsonify(rooms.join(name, str(token) if token else None))

    @routes.post("/<name>/poll")
    def poll(name: str) -> ResponseReturnValue:  # noqa: ARG001 - a seat knows its room
        body = _json()
        return jsonify(rooms.poll(str(body.get("seat")), int(body.get("after", 0))))

    @routes.post("/<name>/say")
    def say(name: str) -> ResponseReturnValue:  # noqa: ARG001
        body = _json()
        rooms.say(str(body.get("seat")), int(body.get("to", 0)), body.get("body") or {})
        return jsonify({})

    @routes.post("/<name>/leave")
    def leave(name: str) -> ResponseReturnValue:  # noqa: ARG001
        rooms.leave(str(_json().get("seat")))
        return jsonify({})

    return routes


def _control(rooms: Rooms, faults: Faults) -> Blueprint:
    """Return what tests ask for: faults, a count of the requests, an empty stand-in."""
    routes = Blueprint("control", __name__, url_prefix="/control")

    @routes.post("/faults")
    def ask_for_faults() -> ResponseReturnValue:
        try:
            faults.add(Fault(**_json()))
        except (TypeError, ValueError) as error:
            raise ApiError(400, "invalid-request-error", str(error)) from None
        return jsonify(faults.overview())

    @routes.delete("/faults")
    def no_more_faults() -> ResponseReturnValue:
        faults.clear()
        return jsonify(faults.overview())

    @routes.get("/requests")
    def requests_so_far() -> ResponseReturnValue:
        return jsonify(**faults.overview(), rooms=rooms.overview())

    @routes.post("/reset")
    def reset() -> ResponseReturnValue:
        rooms.reset()
        faults.reset()
        return jsonify({})

    return routes


def bind(
    api_key: str, domain: str, port: int = 0, limits: bool = False
) -> tuple[BaseWSGIServer, str]:
    """Return a threaded server on 127.0.0.1 that is bound and not yet serving, and its address."""
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
    """Logs no request: its address may hold a token."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None: ...


class _Limit:
    """How many requests may come within how many seconds."""

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
