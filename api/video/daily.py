"""The only way to Daily.co: rooms and meeting tokens; each call has a time limit."""

import json
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import jwt

from api.config import ROOM_TIMEOUT, Settings
from api.video.provider import Kind, Room, RoomUnavailable, Spec, VideoProvider

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each address, with a room's name

PAUSE = 0.2  # seconds before the one retry, unless Daily says how many
PAGE = 100  # rooms; Daily lists no more at once

Answer = dict[str, Any]

_KINDS: dict[int, Kind] = {400: "bad_property", 401: "bad_key", 403: "bad_key", 429: "quota"}


class Daily(VideoProvider):
    """Daily.co; a call ends within `budget` seconds, with its retry, whatever Daily does."""

    def __init__(self, settings: Settings, budget: float = ROOM_TIMEOUT) -> None:
        self._key, self._domain_id = settings.daily_api_key, settings.daily_domain_id
        self._budget = budget
        headers = {"Authorization": f"Bearer {self._key}"}
        self._client = httpx.Client(base_url=settings.daily_api_url, headers=headers)
        # A socket's timeout limits one read, but neither a name lookup nor an answer that comes a
        # byte at a time. So requests run in threads that a caller can stop waiting for.
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="daily")

    def ensure(self, spec: Spec) -> Room:
        deadline, name = time.monotonic() + self._budget, spec["name"]
        properties = {"exp": spec["closes_at"], "max_participants": spec["max_participants"]}
        properties |= {"eject_at_room_exp": True, "enable_knocking": False, **_start(spec)}
        path = f"/rooms/{quote(name, safe='')}"
        body = {"name": name, "privacy": "private", "properties": properties}
        room = self._ask(deadline, "POST", "/rooms", body, none_if="invalid-request-error")
        if room is None:  # the name may be taken: if the room of this name is ours, correct it
            room = self._ask(deadline, "GET", path)
            if room is None or room.get("name") != name or room.get("privacy") != "private":
                raise _refusal(400, {}, "taken" if room else "bad_property")
            config = room.get("config") or {}  # Daily leaves out its defaults, such as false
            changes = {k: v for k, v in properties.items() if (config.get(k) or False) != v}
            if "nbf" not in properties and (config.get("nbf") or 0) > time.time():
                changes["nbf"] = int(time.time())
            if changes:
                room = self._ask(deadline, "POST", path, {"properties": changes})
        return _room(room, name)

    def get(self, name: str) -> Room | None:
        room = self._ask(time.monotonic() + self._budget, "GET", f"/rooms/{quote(name, '')}")
        return None if room is None else _room(room, name)

    def delete(self, name: str) -> bool:
        answer = self._ask(time.monotonic() + self._budget, "DELETE", f"/rooms/{quote(name, '')}")
        return answer is None or answer.get("deleted") is True

    def token(self, spec: Spec) -> str:
        times = {"exp": spec["expires_at"], **_start(spec)}
        if self._key and self._domain_id:  # the token can be signed here, without a round trip
            claims = {"r": spec["room_name"], "d": self._domain_id, "iat": int(time.time())}
            person = {"ud": spec["user_id"], "u": spec["user_name"], "o": spec["is_owner"]}
            return jwt.encode({**claims, **person, **times, "ejt": True}, self._key, "HS256")
        person = {key: spec[key] for key in ("room_name", "user_id", "user_name", "is_owner")}
        body = {"properties": {**person, **times, "eject_at_token_exp": True}}
        answer = self._ask(time.monotonic() + self._budget, "POST", "/meeting-tokens", body)
        if not answer or not isinstance(answer.get("token"), str):
            raise _refusal(200, {})
        return str(answer["token"])

    def standing(self) -> list[Spec]:
        """List private rooms only, because ensure takes over no others.

        Each page may take as long as one call.
        """
        rooms: list[Spec] = []
        path = url = f"/rooms?limit={PAGE}"
        while page := self._page(url):
            rooms += [_spec(room) for room in page if room.get("privacy") == "private"]
            url = f"{path}&starting_after={quote(str(page[-1]['id']), '')}"
            time.sleep(0.05)  # Daily allows some 20 requests a second
        return rooms

    def _page(self, url: str) -> list[Answer]:
        answer = self._ask(time.monotonic() + self._budget, "GET", url)
        if not answer or not isinstance(answer.get("data"), list):
            raise _refusal(200, {})
        return list(answer["data"])

    def _ask(
        self,
        deadline: float,
        method: str,
        url: str,
        body: object = None,
        none_if: str = "not-found",
    ) -> Answer | None:
        """Return Daily's answer, None if its error is `none_if`.

        Asks again, once, if Daily is away or busy. That is safe: a room is made by its name, a
        second deletion finds nothing, and nobody holds a token whose answer was lost.
        """
        if not self._key:
            raise RoomUnavailable("off")
        request = {"method": method, "url": url, "json": body}
        for last in (False, True):
            exchange = self._threads.submit(_exchange, self._client, request, deadline)
            try:
                status, pause, answer = exchange.result(deadline - time.monotonic())
            except (httpx.HTTPError, TimeoutError, ValueError):
                exchange.cancel()  # if no thread was free for it, it never starts
                status, pause, answer = 0, PAUSE, {}
            if last or 0 < status < 429 or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        if status != 200 and answer.get("error") != none_if:
            raise _refusal(status, answer)
        return answer if status == 200 else None


def _exchange(client: httpx.Client, request: Answer, deadline: float) -> tuple[int, float, Answer]:
    raw, left = b"", max(deadline - time.monotonic(), 0.001)
    with client.stream(**request, timeout=left) as response:
        for chunk in response.iter_bytes():
            raw += chunk
            if time.monotonic() > deadline:
                raise TimeoutError
    pause = max(0.0, float(response.headers.get("Retry-After", PAUSE)))
    answer = json.loads(raw) if raw.startswith(b"{") else {}
    return response.status_code if answer else 0, pause, answer  # 0: the answer is not Daily's


def _start(spec: Spec) -> Answer:
    return {} if spec["opens_at"] is None else {"nbf": spec["opens_at"]}


def _spec(room: Answer) -> Spec:
    """Describe a room; if people may knock or stay after its end, it has no closes_at."""
    config = room.get("config") or {}
    closes = config.get("eject_at_room_exp") is True and not config.get("enable_knocking")
    return {
        "name": room["name"],
        "opens_at": config.get("nbf"),
        "closes_at": config.get("exp") if closes else None,
        "max_participants": config.get("max_participants"),
    }


def _room(answer: Answer | None, name: str) -> Room:
    url = str((answer or {}).get("url"))
    if (answer or {}).get("name") != name or not url.startswith(("https://", "http://")):
        raise _refusal(200, {})
    return Room(name, url)


def _refusal(status: int, answer: Answer, kind: Kind | None = None) -> RoomUnavailable:
    kind, word = kind or _KINDS.get(status, "away"), str(answer.get("error"))
    word = word if re.fullmatch("[a-z-]{1,40}", word) else "unknown"
    log.warning("video provider: kind=%s status=%s error=%s", kind, status, word)
    return RoomUnavailable(kind)
