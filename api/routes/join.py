"""The routes into a video room."""

from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from flask import Blueprint, Response

from api import supabase
from api.contract.endpoint import Body, answer, answers, read_id, takes
from api.contract.response_models import Shape
from api.video.rooms import enter_room

routes = Blueprint("video", __name__, url_prefix="/api/sessions")


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


# The same for both.
_REFUSES = [
    "SESSION_NOT_FOUND",
    "SESSION_NOT_APPROVED",
    "SESSION_CANCELLED",
    "SESSION_NOT_OPEN",
    "SESSION_OVER",
    "ROOM_UNAVAILABLE",
]


@routes.post("/<session_id>/join")
@answers(Joined, refuses=_REFUSES)
def join(session_id: str) -> Response:
    """Join one of the caller's sessions: the room's address and a token for this person alone."""
    return _join(read_id(session_id))


@routes.post("/join")
@answers(Joined, refuses=_REFUSES)
@takes(Join)
def join_by_body(wanted: Join) -> Response:
    """Join as older screens do, with the session in the body."""
    return _join(str(wanted.sessionId))


def _join(session_id: str) -> Response:
    joined = supabase.call_one("join_session", p_session_id=session_id)
    room, token = enter_room(joined["room"], joined["attendance"])
    return answer(
        room_url=room.url,
        room_name=room.name,
        meeting_token=token,
        join_url=f"{room.url}?{room.parameter}={quote(token)}" if token else room.url,
        expires_at=joined["expires_at"],
    )
