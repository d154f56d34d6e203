"""The rooms beside sessions: offered, entered and removed; a fault of the provider is counted."""

from typing import Any

from flask import current_app

from api.serving import metrics
from api.serving.errors import Refusal
from api.video.provider import Room, RoomUnavailable, Spec, VideoProvider


def offer_room(wanted: Spec | None) -> dict[str, Any]:
    """Make the room that an act asked for; its absence is said, and never undoes the act."""
    if wanted is None:
        return {"room": None, "room_reason": "This session needs no room"}
    try:
        room = _provider().ensure(wanted)
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()
        return {"room": None, "room_reason": unavailable.reason}
    return {"room": {"name": room.name, "url": room.url}, "room_reason": None}


def enter_room(wanted: Spec, attendance: Spec) -> tuple[Room, str]:
    """Make the room where there is none, and a token that lets one person in.

    Refusals: 503 ROOM_UNAVAILABLE.
    """
    try:
        return _provider().ensure(wanted), _provider().token(attendance)
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()
        raise Refusal(503, "ROOM_UNAVAILABLE", unavailable.reason) from unavailable


def remove_room(ended: Spec | None) -> None:
    """Remove the room of a session that has ended; what cannot be removed now closes by itself."""
    if ended is None:
        return
    try:
        _provider().delete(ended["name"])
    except RoomUnavailable as unavailable:
        metrics.VIDEO_FAULTS.labels(unavailable.kind).inc()


def _provider() -> VideoProvider:
    provider: VideoProvider = current_app.extensions["video"]
    return provider
