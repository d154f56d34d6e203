"""The screens: pages at the paths that the frontend uses, and the modules that they load."""

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

from api.serving.headers import PAGE_HEADERS

_WEB = Path(__file__).parents[1] / "web"

routes = Blueprint("screens", __name__)


@routes.get("/ui/<path:name>")
def module(name: str) -> Response:
    """Serve a module, style sheet or picture of the screens."""
    return send_from_directory(_WEB, name)


@routes.get("/therapist/dashboard/create-session")
def create_session_page() -> Response:
    """Serve the page on which a therapist proposes a session."""
    return _page("create-session.html")


@routes.get("/therapist/dashboard/client-sessions")
def client_sessions_page() -> Response:
    """Serve the page on which a therapist sees their sessions."""
    return _page("client-sessions.html")


@routes.get("/dashboard/therapy")
def therapy_page() -> Response:
    """Serve the page on which a client approves sessions and sees their credits."""
    return _page("therapy.html")


@routes.get("/dashboard/credits")
def credits_page() -> Response:
    """Serve the page that stands where a shop for credits would be."""
    return _page("credits.html")


@routes.get("/video-session/<session_id>")
def video_session_page(session_id: str) -> Response:  # noqa: ARG001 - the page reads its own address
    """Serve the page on which both people meet."""
    return _page("video-session.html")


def _page(name: str) -> Response:
    page = send_from_directory(_WEB, name)
    page.headers.update(PAGE_HEADERS)
    return page
