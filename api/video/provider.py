"""What a video provider does, in no provider's words: rooms, and tokens that let a person in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Spec = Mapping[str, Any]  # what SQL says of a room or a token
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
    """A video room; its URL takes a token as the parameter of this name."""

    name: str
    url: str
    parameter: str = "t"


class RoomUnavailable(Exception):
    """No room or token this time: `reason` is a sentence for people, `kind` a word for programs."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind, self.reason = kind, _REASONS[kind]


class VideoProvider(Protocol):
    """What a provider does, or raises RoomUnavailable; unix seconds, and opens_at may be None."""

    def ensure(self, spec: Spec) -> Room:
        """Make or mend the room. Spec: name, opens_at, closes_at, max_participants."""

    def get(self, name: str) -> Room | None:
        """Read the room; None when there is none of that name, or it is over."""

    def delete(self, name: str) -> bool:
        """Delete the room; true also when it was gone or over."""

    def token(self, spec: Spec) -> str:
        """Let a person in. Spec: room_name, user_id, user_name, is_owner, opens_at, expires_at."""

    def standing(self) -> list[Spec] | None:
        """Say what rooms there are, as ensure takes them; None if this provider keeps none."""
