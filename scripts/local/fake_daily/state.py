"""The rooms of the stand-in and the people in them, in memory."""

import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_DNS, uuid4, uuid5

import jwt

from scripts.local.fake_daily.rules import (
    CLAIMS,
    ROOM_DEFAULTS,
    ApiError,
    Json,
    Refused,
    changed,
    checked_room,
    checked_token,
    invalid,
    not_found,
    require_in_time,
)

SEAT_GRACE = 10.0  # seconds without a poll after which a page loses its seat
SEATS = 2  # the page is a call between two people, whatever a room would allow


@dataclass
class Seat:
    """One page in a room. Only that page knows its id; the others know its number."""

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
        """Return the property as it was set, or Daily's default."""
        return self.config.get(name, ROOM_DEFAULTS[name])

    def is_over(self) -> bool:
        """Whether `exp` has passed: then the room lets no page in, and the API does not know it."""
        return self.setting("exp") is not None and time.time() >= self.setting("exp")


class Rooms:
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
        name, privacy, config = checked_room(body, privacy="public")
        with self._lock:
            if name is None:
                name = secrets.token_urlsafe(12)
            if name in self._rooms and not self._rooms[name].is_over():
                raise invalid(f"a room named {name} already exists")
            created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._rooms[name] = Room(
                id=str(uuid4()),
                name=name,
                privacy=privacy,
                created_at=created_at.replace("+00:00", "Z"),
                config=changed({}, config),
            )
            return self._described(self._rooms[name])

    def change(self, name: str, body: Json) -> Json:
        """Set some properties of a room, or its privacy. Refusals: 404, 400."""
        with self._lock:
            room = self._standing(name)
            _, room.privacy, config = checked_room({**body, "name": name}, privacy=room.privacy)
            room.config = changed(room.config, config)
            return self._described(room)

    def read(self, name: str) -> Json:
        """Describe a room. Refusal: 404, also once it is over."""
        with self._lock:
            return self._described(self._standing(name))

    def delete(self, name: str) -> Json:
        """Delete a room and put out the people in it. Refusal: 404, with deleted if it was over."""
        with self._lock:
            room = self._rooms.pop(name, None)
            if room is None:
                raise not_found(name)
            for seat in list(room.seats):
                self._put_out(seat, "closed")
            if room.is_over():
                raise ApiError(404, "not-found", f"room {name} not found", deleted=True, name=name)
            return {"deleted": True, "name": name}

    def listed(self, limit: str = "100", starting_after: str = "", ending_before: str = "") -> Json:
        """Describe a page of the rooms that are not over, newest first. Refusal: 400.

        The page begins after a room, or ends before a room, or before the end, which is OLDEST.
        """
        with self._lock:
            rooms = [room for room in reversed(self._rooms.values()) if not room.is_over()]
            places = {room.id: place for place, room in enumerate(rooms)} | {"OLDEST": len(rooms)}
            cursor = starting_after or ending_before
            if not limit.isdecimal() or not 1 <= int(limit) <= 100:
                raise invalid("limit must be 1 to 100")
            if (starting_after and ending_before) or (cursor and cursor not in places):
                raise invalid("starting_after or ending_before must be a room's id")
            begin = places[starting_after] + 1 if starting_after else 0
            if ending_before:
                begin = max(0, places[ending_before] - int(limit))
            end = places[ending_before] if ending_before else len(rooms)
            page = rooms[begin:end][: int(limit)]
            return {"total_count": len(rooms), "data": [self._described(room) for room in page]}

    def issue(self, body: Json) -> Json:
        """Sign a meeting token; the room need not exist. Refusal: 400."""
        claims = checked_token(body)
        claims |= {"d": self.domain_id, "iat": int(time.time())}
        return {"token": jwt.encode(claims, self.api_key, "HS256")}

    def validate(self, token: str) -> Json:
        """Read a meeting token back. Refusal: 400 if not ours, over or not yet valid."""
        try:
            claims = self._claims(token)
            require_in_time(claims.get("nbf"), claims.get("exp"))
        except Refused as refusal:
            raise invalid(refusal.sentence) from None
        return {name: claims[claim] for name, claim in CLAIMS.items() if claim in claims}

    # The page.

    def join(self, name: str, token: str | None) -> Json:
        """Take a seat in a room.

        Refused: no_room, no_token, bad_token, other_room, not_yet_open, expired, full.
        """
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
            require_in_time(claims.get("nbf"), claims.get("exp"))
            require_in_time(room.setting("nbf"), room.setting("exp"))
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
        """Return who else is here and the messages after the first `after`, or why it has ended."""
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
            raise not_found(name)
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
        """Free the seats of pages that poll no more, and of people whose time is up."""
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
