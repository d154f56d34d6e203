"""What Daily's REST API takes and refuses: names, properties, claims of tokens, times."""

import re
import time
from typing import Any

NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
ROOM_DEFAULTS: dict[str, int | bool | None] = {
    "nbf": None,
    "exp": None,
    "max_participants": None,
    "eject_after_elapsed": None,
    "eject_at_room_exp": False,
    "enable_knocking": False,
    "enable_screenshare": True,
    "enable_chat": False,
    "enforce_unique_user_ids": False,
    "start_audio_off": False,
    "start_video_off": False,
}
CLAIMS = {  # what a token's properties are called inside the token
    "room_name": "r",
    "user_id": "ud",
    "user_name": "u",
    "is_owner": "o",
    "nbf": "nbf",
    "exp": "exp",
    "eject_at_token_exp": "ejt",
}
_TEXT, _FLAG, _SECONDS = (str, "a string"), (bool, "a boolean"), (int, "an integer")
_TOKEN_TYPES = {
    "room_name": _TEXT,
    "user_id": _TEXT,
    "user_name": _TEXT,
    "is_owner": _FLAG,
    "nbf": _SECONDS,
    "exp": _SECONDS,
    "eject_at_token_exp": _FLAG,
}

Json = dict[str, Any]


class ApiError(Exception):
    """A refusal of the REST API: Daily's stable `error` word, and `info` for people."""

    def __init__(self, status: int, error: str, info: str | None = None, **more: object) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, **({"info": info} if info else {}), **more}


class Refused(Exception):
    """Why a page may not come in: a code for programs, a sentence for people."""

    def __init__(self, code: str, sentence: str, opens_at: int | None = None) -> None:
        super().__init__(code)
        self.sentence = sentence
        self.body = {"code": code, "sentence": sentence, "opens_at": opens_at}


def checked_room(body: Json, privacy: str) -> tuple[str | None, str, Json]:
    """Return a room's name, privacy and properties as they are asked for. Refusal: 400."""
    for key in body:
        if key not in ("name", "privacy", "properties"):
            raise invalid(f"unknown parameter '{key}'")
    name, privacy = body.get("name"), body.get("privacy", privacy)
    properties = body.get("properties", {})
    if name is not None and (not isinstance(name, str) or not NAME.fullmatch(name)):
        raise invalid("invalid room name: use letters, digits, - and _, at most 128 of them")
    if privacy not in ("public", "private"):
        raise invalid("privacy must be public or private")
    if not isinstance(properties, dict):
        raise invalid("properties must be an object")
    for key, value in properties.items():
        if key not in ROOM_DEFAULTS:
            raise invalid(f"unknown property '{key}'")
        expected = bool if isinstance(ROOM_DEFAULTS[key], bool) else int
        if type(value) is not expected or (expected is int and value < 1):
            raise invalid(f"property '{key}' must be a {expected.__name__}")
    return name, privacy, properties


def checked_token(body: Json) -> Json:
    """Return the claims of a token with the properties that are asked for. Refusal: 400."""
    properties = body.get("properties", {})
    if not isinstance(properties, dict):
        raise invalid("properties must be an object")
    for name, value in properties.items():
        if name not in _TOKEN_TYPES:
            raise invalid(f"unknown property '{name}'")
        if type(value) is not _TOKEN_TYPES[name][0]:
            raise invalid(f"property '{name}' must be {_TOKEN_TYPES[name][1]}")
    if len(properties.get("user_id", "")) > 36:
        raise invalid("property 'user_id' is longer than 36 characters")
    return {CLAIMS[name]: value for name, value in properties.items()}


def changed(config: Json, changes: Json) -> Json:
    """Return the properties after a change; what is Daily's default is left out."""
    return {
        key: value for key, value in {**config, **changes}.items() if value != ROOM_DEFAULTS[key]
    }


def require_in_time(nbf: int | None, exp: int | None) -> None:
    """Refuse a page that comes too early or too late."""
    if exp is not None and time.time() >= exp:
        raise Refused("expired", "This session is over.")
    if nbf is not None and time.time() < nbf:
        raise Refused("not_yet_open", "It is too early to come in.", opens_at=nbf)


def invalid(info: str) -> ApiError:
    """Return Daily's refusal of a request that it does not understand."""
    return ApiError(400, "invalid-request-error", info)


def not_found(name: str) -> ApiError:
    """Return Daily's refusal of a room that does not exist."""
    return ApiError(404, "not-found", f"room {name} not found")
