"""The rooms of the stand-in, their tokens, and the people in them; all of it in memory."""

import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_DNS, uuid4, uuid5

import jwt

SEAT_GRACE = 10.0  # seconds that a page may be silent before its seat is given away
SEATS = 2  # the page is a call between two people, whatever a room would allow

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


@dataclass
class Seat:
    """One page in a room. Its id is known to that page alone; its number, to the others."""

    id: str
    number: int
    room: "Room"
    user_id: str | None
    user_name: str
    is_owner: bool
    until: int | None
    seen: float
    ended: str | None = None
    messages: list[Json] = field(default_factory=list)


@dataclass
class Room:
    """A room as Daily describes it, and who is in it."""

    id: str
    name: str
    privacy: str
    created_at: str
    config: Json
    seats: list[Seat] = field(default_factory=list)
    next_number: int = 1

    def setting(self, name: str) -> Any:
        """The property as set, or Daily's default."""
        return self.config.get(name, ROOM_DEFAULTS[name])

    def is_over(self) -> bool:
        """True from `exp` on: nobody comes in, and the API knows the room no more."""
        return self.setting("exp") is not None and time.time() >= self.setting("exp")


class House:
    """Every room of one domain, safe to use from many threads."""

    def __init__(self, api_key: str, domain: str, base_url: str) -> None:
        self.api_key = api_key
        self.domain = domain
        self.domain_id = str(uuid5(NAMESPACE_DNS, domain))
        self.base_url = base_url
        self._rooms: dict[str, Room] = {}
        self._seats: dict[str, Seat] = {}
        self._lock = threading.RLock()

    # The REST API.

    def create(self, body: Json) -> Json:
        """Make a room. Refusals: 400 for a taken name, and for what Daily would not take."""
        name, privacy, config = _checked_room(body, privacy="public")
        with self._lock:
            if name is None:
                name = secrets.token_urlsafe(12)
            if name in self._rooms and not self._rooms[name].is_over():
                raise _invalid(f"a room named {name} already exists")
            created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._rooms[name] = Room(
                id=str(uuid4()),
                name=name,
                privacy=privacy,
                created_at=created_at.replace("+00:00", "Z"),
                config=_set({}, config),
            )
            return self._described(self._rooms[name])

    def change(self, name: str, body: Json) -> Json:
        """Set some properties of a room, or its privacy. Refusals: 404, 400."""
        with self._lock:
            room = self._standing(name)
            _, room.privacy, config = _checked_room({**body, "name": name}, privacy=room.privacy)
            room.config = _set(room.config, config)
            return self._described(room)

    def read(self, name: str) -> Json:
        """Describe a room. Refusal: 404, also once it is over."""
        with self._lock:
            return self._described(self._standing(name))

    def delete(self, name: str) -> Json:
        """Delete a room; whoever is in it is put out. Refusal: 404, with deleted if it was over."""
        with self._lock:
            room = self._rooms.pop(name, None)
            if room is None:
                raise _not_found(name)
            for seat in list(room.seats):
                self._put_out(seat, "closed")
            if room.is_over():
                raise ApiError(404, "not-found", f"room {name} not found", deleted=True, name=name)
            return {"deleted": True, "name": name}

    def listed(self, limit: str = "100", starting_after: str = "", ending_before: str = "") -> Json:
        """Describe a page of the rooms that are not over, newest first: the one that begins after
        a room, or the one that ends before it, or before what is OLDEST. Refusal: 400."""
        with self._lock:
            rooms = [room for room in reversed(self._rooms.values()) if not room.is_over()]
            places = {room.id: place for place, room in enumerate(rooms)} | {"OLDEST": len(rooms)}
            cursor = starting_after or ending_before
            if not limit.isdecimal() or not 1 <= int(limit) <= 100:
                raise _invalid("limit must be 1 to 100")
            if (starting_after and ending_before) or (cursor and cursor not in places):
                raise _invalid("starting_after or ending_before must be a room's id")
            begin = places[starting_after] + 1 if starting_after else 0
            if ending_before:
                begin = max(0, places[ending_before] - int(limit))
            end = places[ending_before] if ending_before else len(rooms)
            page = rooms[begin:end][: int(limit)]
            return {"total_count": len(rooms), "data": [self._described(room) for room in page]}

    def issue(self, body: Json) -> Json:
        """Sign a meeting token; the room need not exist. Refusal: 400."""
        properties = body.get("properties", {})
        if not isinstance(properties, dict):
            raise _invalid("properties must be an object")
        for name, value in properties.items():
            if name not in _TOKEN_TYPES:
                raise _invalid(f"unknown property '{name}'")
            if type(value) is not _TOKEN_TYPES[name][0]:
                raise _invalid(f"property '{name}' must be {_TOKEN_TYPES[name][1]}")
        if len(properties.get("user_id", "")) > 36:
            raise _invalid("property 'user_id' is longer than 36 characters")
        claims = {CLAIMS[name]: value for name, value in properties.items()}
        claims |= {"d": self.domain_id, "iat": int(time.time())}
        return {"token": jwt.encode(claims, self.api_key, "HS256")}

    def validate(self, token: str) -> Json:
        """Read a meeting token back. Refusal: 400 if not ours, over or not yet valid."""
        try:
            claims = self._claims(token)
            _in_time(claims.get("nbf"), claims.get("exp"))
        except Refused as refusal:
            raise _invalid(refusal.sentence) from None
        return {name: claims[claim] for name, claim in CLAIMS.items() if claim in claims}

    # The page.

    def join(self, name: str, token: str | None) -> Json:
        """Take a seat in a room. Refused: no_room, no_token, bad_token, other_room, not_yet_open,
        expired, full."""
        with self._lock:
            self._sweep()
            room = self._rooms.get(name)
            if room is None:
                raise Refused("no_room", "This room does not exist.")
            if token is None and room.privacy == "private":
                raise Refused(
                    "no_token", "This room is private, and opens only with a link of its own."
                )
            claims = self._claims(token) if token is not None else {}
            if claims.get("r", name) != name:
                raise Refused("other_room", "This link is for another room.")
            _in_time(claims.get("nbf"), claims.get("exp"))
            _in_time(room.setting("nbf"), room.setting("exp"))
            if room.setting("enforce_unique_user_ids") and claims.get("ud"):
                for seat in [seat for seat in room.seats if seat.user_id == claims["ud"]]:
                    self._put_out(seat, "elsewhere")
            if len(room.seats) >= min(room.setting("max_participants") or SEATS, SEATS):
                raise Refused("full", "This room is full.")
            seat = Seat(
                id=secrets.token_urlsafe(18),
                number=room.next_number,
                room=room,
                user_id=claims.get("ud"),
                user_name=claims.get("u") or "Guest",
                is_owner=claims.get("o") is True,
                until=claims.get("exp") if claims.get("ejt") is True else None,
                seen=time.monotonic(),
            )
            room.next_number += 1
            room.seats.append(seat)
            self._seats[seat.id] = seat
            me = {"number": seat.number, "user_name": seat.user_name, "is_owner": seat.is_owner}
            start_off = {kind: room.setting(f"start_{kind}_off") for kind in ("audio", "video")}
            return {"seat": seat.id, "me": me, "start_off": start_off}

    def poll(self, seat_id: str, after: int) -> Json:
        """Who else is here, and the messages after the first `after`; or why it has ended."""
        with self._lock:
            self._sweep()
            seat = self._seats.get(seat_id)
            if seat is None:
                return {"ended": "gone", "people": [], "messages": []}
            if seat.ended is not None:
                del self._seats[seat_id]
                return {"ended": seat.ended, "people": [], "messages": []}
            seat.seen = time.monotonic()
            people = [
                {"number": other.number, "user_name": other.user_name, "is_owner": other.is_owner}
                for other in seat.room.seats
                if other is not seat
            ]
            return {"ended": None, "people": people, "messages": seat.messages[after:]}

    def say(self, seat_id: str, to: int, body: Json) -> None:
        """Pass a message on to the seat of that number, if both are still here."""
        with self._lock:
            seat = self._seats.get(seat_id)
            for other in seat.room.seats if seat is not None else []:
                if seat is not None and other.number == to:
                    other.messages.append({"from": seat.number, "body": body})

    def leave(self, seat_id: str) -> None:
        """Free the seat."""
        with self._lock:
            seat = self._seats.pop(seat_id, None)
            if seat is not None and seat in seat.room.seats:
                seat.room.seats.remove(seat)

    # The tests.

    def reset(self) -> None:
        """Forget every room and seat."""
        with self._lock:
            self._rooms.clear()
            self._seats.clear()

    def overview(self) -> list[Json]:
        """Describe every room, those that are over included, and count who is in."""
        with self._lock:
            self._sweep()
            return [
                {**self._described(room), "over": room.is_over(), "people": len(room.seats)}
                for room in self._rooms.values()
            ]

    def _standing(self, name: str) -> Room:
        room = self._rooms.get(name)
        if room is None or room.is_over():
            raise _not_found(name)
        return room

    def _described(self, room: Room) -> Json:
        return {
            "id": room.id,
            "name": room.name,
            "api_created": True,
            "privacy": room.privacy,
            "url": f"{self.base_url}/{room.name}",
            "created_at": room.created_at,
            "config": dict(room.config),
        }

    def _claims(self, token: str) -> Json:
        try:
            claims: Json = jwt.decode(
                token,
                self.api_key,
                ["HS256"],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            raise Refused("bad_token", "This link is not valid.") from None
        if claims.get("d") != self.domain_id:
            raise Refused("bad_token", "This link is not valid.")
        return claims

    def _sweep(self) -> None:
        """Free the seats of pages that fell silent, and of people whose time is up."""
        silent = time.monotonic() - SEAT_GRACE
        for seat in list(self._seats.values()):
            ejects = seat.room.setting("eject_at_room_exp") and seat.room.is_over()
            if seat.seen < silent:
                self.leave(seat.id)
            elif ejects or (seat.until is not None and time.time() >= seat.until):
                self._put_out(seat, "over")

    def _put_out(self, seat: Seat, reason: str) -> None:
        seat.ended = seat.ended or reason
        if seat in seat.room.seats:
            seat.room.seats.remove(seat)


def _in_time(nbf: int | None, exp: int | None) -> None:
    if exp is not None and time.time() >= exp:
        raise Refused("expired", "This session is over.")
    if nbf is not None and time.time() < nbf:
        raise Refused("not_yet_open", "It is too early to come in.", opens_at=nbf)


def _checked_room(body: Json, privacy: str) -> tuple[str | None, str, Json]:
    for key in body:
        if key not in ("name", "privacy", "properties"):
            raise _invalid(f"unknown parameter '{key}'")
    name, privacy = body.get("name"), body.get("privacy", privacy)
    properties = body.get("properties", {})
    if name is not None and (not isinstance(name, str) or not NAME.fullmatch(name)):
        raise _invalid("invalid room name: use letters, digits, - and _, at most 128 of them")
    if privacy not in ("public", "private"):
        raise _invalid("privacy must be public or private")
    if not isinstance(properties, dict):
        raise _invalid("properties must be an object")
    for key, value in properties.items():
        if key not in ROOM_DEFAULTS:
            raise _invalid(f"unknown property '{key}'")
        expected = bool if isinstance(ROOM_DEFAULTS[key], bool) else int
        if type(value) is not expected or (expected is int and value < 1):
            raise _invalid(f"property '{key}' must be a {expected.__name__}")
    return name, privacy, properties


def _set(config: Json, changes: Json) -> Json:
    """The properties after a change; what is Daily's default is left out."""
    return {
        key: value for key, value in {**config, **changes}.items() if value != ROOM_DEFAULTS[key]
    }


def _invalid(info: str) -> ApiError:
    return ApiError(400, "invalid-request-error", info)


def _not_found(name: str) -> ApiError:
    return ApiError(404, "not-found", f"room {name} not found")
