"""The sessions' video rooms: made, entered and removed; the provider's faults are counted."""

from typing import Any

from flask import current_app

from api.serving import metrics
from api.serving.errors import Refusal
from api.video.provider import Room, RoomUnavailable, Spec, VideoProvider


def offer_room(wanted_room: Spec | None) -> dict[str, Any]:
    """Make the room that an act asks for; without it the act stands, and the answer says why."""
    if wanted_room is None:
        return {"room": None, "room_reason": "This session needs no room"}
    try:
        room = _provider().ensure(wanted_room)
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()
        return {"room": None, "room_reason": unavailable.reason}
    return {"room": {"name": room.name, "url": room.url}, "room_reason": None}


def enter_room(wanted_room: Spec, attendance: Spec) -> tuple[Room, str]:
    """Make the room if there is none, and a token that lets one person in.

    Refusals: 503 ROOM_UNAVAILABLE.
    """
    try:
        return _provider().ensure(wanted_room), _provider().token(attendance)
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()
        raise Refusal(503, "ROOM_UNAVAILABLE", unavailable.reason) from unavailable


def remove_room(ended_room: Spec | None) -> None:
    """Delete the room of a session that has ended; if that fails, the room closes by itself."""
    if ended_room is None:
        return
    try:
        _provider().delete(ended_room["name"])
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()


def _provider() -> VideoProvider:
    provider: VideoProvider = current_app.extensions["video"]
    return provider
