"""The routes into a video room, and what a request does about rooms beside its own work."""

from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Blueprint, Flask, Response, current_app

from api import supabase
from api.config import Settings
from api.contract.requests import Body, read_id, takes
from api.contract.response_models import Shape
from api.contract.responses import answer, answers
from api.identity import auth
from api.serving import metrics
from api.serving.errors import Refusal
from api.video import provider
from api.video.provider import RoomUnavailable, VideoProvider

routes = Blueprint("video", __name__, url_prefix="/api/sessions")
routes.before_request(auth.sign_in)


class Join(Body):
    """Which session is joined, as the older screens name it."""

    sessionId: UUID  # the field's published name


class Joined(Shape):
    """The way into a room, for this person alone."""

    room_url: str
    room_name: str
    meeting_token: str | None
    """Null where the provider needs none."""
    join_url: str
    """The address with the token in it."""
    expires_at: datetime


def register(app: Flask, settings: Settings) -> None:
    """Give the application its provider of rooms."""
    app.extensions["rooms"] = provider(settings)


@routes.post("/<session_id>/join")
@answers(Joined)
def join(session_id: str) -> Response:
    """Join one of the caller's sessions: the room's address and a token for this person alone.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
    404 SESSION_NOT_FOUND, 409 SESSION_NOT_APPROVED, 409 SESSION_CANCELLED, 409 SESSION_NOT_OPEN,
    410 SESSION_OVER, 503 ROOM_UNAVAILABLE.
    """
    return _join(read_id(session_id))


@routes.post("/join")
@answers(Joined)
@takes(Join)
def join_by_body(wanted: Join) -> Response:
    """Join as older screens do, with the session in the body.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
    404 SESSION_NOT_FOUND, 409 SESSION_NOT_APPROVED, 409 SESSION_CANCELLED, 409 SESSION_NOT_OPEN,
    410 SESSION_OVER, 503 ROOM_UNAVAILABLE.
    """
    return _join(str(wanted.sessionId))


def _join(session_id: str) -> Response:
    joined = supabase.call_one("join_session", p_session_id=session_id)
    try:
        room = _rooms().ensure(joined["room"])
        token = _rooms().token(joined["attendance"])
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()
        raise Refusal(503, "ROOM_UNAVAILABLE", unavailable.reason) from unavailable
    return answer(
        room_url=room.url,
        room_name=room.name,
        meeting_token=token,
        join_url=f"{room.url}?{room.parameter}={quote(token)}" if token else room.url,
        expires_at=joined["expires_at"],
    )


def offer_room(wanted: dict[str, Any] | None) -> dict[str, Any]:
    """Make the room that an act asked for; its absence is said, and never undoes the act."""
    if wanted is None:
        return {"room": None, "room_reason": "This session needs no room"}
    try:
        room = _rooms().ensure(wanted)
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()
        return {"room": None, "room_reason": unavailable.reason}
    return {"room": {"name": room.name, "url": room.url}, "room_reason": None}


def remove_room(ended: dict[str, Any] | None) -> None:
    """Remove the room of a session that has ended; what cannot be removed now closes by itself."""
    if ended is None:
        return
    try:
        _rooms().delete(ended["name"])
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()


def _rooms() -> VideoProvider:
    rooms: VideoProvider = current_app.extensions["rooms"]
    return rooms
