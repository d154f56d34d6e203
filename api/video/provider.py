"""What every video provider offers: rooms, and tokens that let one person in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Spec = Mapping[str, Any]  # a room or a token as the database describes it
Kind = Literal["bad_key", "quota", "bad_property", "taken", "away", "off"]

_REASONS: dict[Kind, str] = {
    "bad_key": "Video is unavailable: the video provider does not accept this installation's key.",
    "quota": "The video provider is busy: please try again in a moment.",
    "bad_property": "Video is unavailable: the video provider does not accept what it was asked.",
    "taken": "Video is unavailable: the room's name belongs to another room.",
    "away": "The video provider did not answer: please try again in a moment.",
    "off": "Video is off: no video provider is set up here.",
}


@dataclass(frozen=True)
class Room:
    """A video room; its URL takes a token as the query parameter with this name."""

    name: str
    url: str
    parameter: str = "t"


class RoomUnavailable(Exception):
    """There is no room or token: `reason` is a sentence for people, `kind` a word for programs."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind, self.reason = kind, _REASONS[kind]


class VideoProvider(Protocol):
    """A video provider. Each call may raise RoomUnavailable.

    Times are in unix seconds; opens_at may be None.
    """

    def ensure(self, spec: Spec) -> Room:
        """Make the room, or correct it. Spec: name, opens_at, closes_at, max_participants."""

    def get(self, name: str) -> Room | None:
        """Return the room, None if there is no such room or it has expired."""

    def delete(self, name: str) -> bool:
        """Delete the room; true too if it was already deleted or has expired."""

    def token(self, spec: Spec) -> str:
        """Return a token. Spec: room_name, user_id, user_name, is_owner, opens_at, expires_at."""

    def standing(self) -> list[Spec] | None:
        """List the rooms that exist, as ensure takes them; None if the provider keeps no rooms."""
