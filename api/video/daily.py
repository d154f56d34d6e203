"""The only door to Daily.co: rooms and meeting tokens; every call is bounded and repeatable."""

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
logging.getLogger("httpx").setLevel(logging.WARNING)  # its INFO holds each room's name

PAUSE = 0.2  # seconds before the one retry, unless Daily names its own
PAGE = 100  # rooms, the most that Daily lists at once

Answer = dict[str, Any]

_KINDS: dict[int, Kind] = {400: "bad_property", 401: "bad_key", 403: "bad_key", 429: "quota"}


class Daily(VideoProvider):
    """Daily.co; a call ends within `budget` seconds, retries and all, whatever Daily does."""

    def __init__(self, settings: Settings, budget: float = ROOM_TIMEOUT) -> None:
        self._key, self._domain_id = settings.daily_api_key, settings.daily_domain_id
        self._budget = budget
        headers = {"Authorization": f"Bearer {self._key}"}
        self._client = httpx.Client(base_url=settings.daily_api_url, headers=headers)
        # A socket's timeout bounds one read; it bounds neither a name lookup nor an answer that
        # comes a byte at a time. So requests run in threads that a caller can stop waiting for.
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="daily")

    def ensure(self, spec: Spec) -> Room:
        deadline, name = time.monotonic() + self._budget, spec["name"]
        wanted = {"exp": spec["closes_at"], "max_participants": spec["max_participants"]}
        wanted |= {"eject_at_room_exp": True, "enable_knocking": False, **_start(spec)}
        path = f"/rooms/{quote(name, safe='')}"
        body = {"name": name, "privacy": "private", "properties": wanted}
        room = self._ask(deadline, "POST", "/rooms", body, no="invalid-request-error")
        if room is None:  # that error may mean that the name is taken: look, and adopt what is ours
            room = self._ask(deadline, "GET", path)
            if room is None or room.get("name") != name or room.get("privacy") != "private":
                raise _refusal(400, {}, "taken" if room else "bad_property")
            has = room.get("config") or {}  # without what is Daily's default, such as false
            wrong = {k: v for k, v in wanted.items() if (has.get(k) or False) != v}
            if "nbf" not in wanted and (has.get("nbf") or 0) > time.time():
                wrong["nbf"] = int(time.time())
            if wrong:
                room = self._ask(deadline, "POST", path, {"properties": wrong})
        return _room(room, name)

    def get(self, name: str) -> Room | None:
        room = self._ask(time.monotonic() + self._budget, "GET", f"/rooms/{quote(name, '')}")
        return None if room is None else _room(room, name)

    def delete(self, name: str) -> bool:
        left = self._ask(time.monotonic() + self._budget, "DELETE", f"/rooms/{quote(name, '')}")
        return left is None or left.get("deleted") is True

    def token(self, spec: Spec) -> str:
        times = {"exp": spec["expires_at"], **_start(spec)}
        if self._key and self._domain_id:  # then it can be signed here, without a round trip
            claims = {"r": spec["room_name"], "d": self._domain_id, "iat": int(time.time())}
            person = {"ud": spec["user_id"], "u": spec["user_name"], "o": spec["is_owner"]}
            return jwt.encode({**claims, **person, **times, "ejt": True}, self._key, "HS256")
        named = {key: spec[key] for key in ("room_name", "user_id", "user_name", "is_owner")}
        body = {"properties": {**named, **times, "eject_at_token_exp": True}}
        issued = self._ask(time.monotonic() + self._budget, "POST", "/meeting-tokens", body)
        if not issued or not isinstance(issued.get("token"), str):
            raise _refusal(200, {})
        return str(issued["token"])

    def standing(self) -> list[Spec]:
        """Only private rooms, for ensure adopts no others; each page has the time of a call."""
        found: list[Spec] = []
        path = url = f"/rooms?limit={PAGE}"
        while page := self._page(url):
            found += [_spec(room) for room in page if room.get("privacy") == "private"]
            url = f"{path}&starting_after={quote(str(page[-1]['id']), '')}"
            time.sleep(0.05)  # Daily allows some 20 requests a second
        return found

    def _page(self, url: str) -> list[Answer]:
        answer = self._ask(time.monotonic() + self._budget, "GET", url)
        if not answer or not isinstance(answer.get("data"), list):
            raise _refusal(200, {})
        return list(answer["data"])

    def _ask(
        self, deadline: float, method: str, url: str, body: object = None, no: str = "not-found"
    ) -> Answer | None:
        """Daily's answer, or None if its error is `no`. Asks again, once, if Daily is away or busy:
        that is safe, since a room is made by its name, a second deletion finds nothing to delete,
        and a token whose answer was lost is in nobody's hands."""
        if not self._key:
            raise RoomUnavailable("off")
        request = {"method": method, "url": url, "json": body}
        for last in (False, True):
            exchange = self._threads.submit(_exchange, self._client, request, deadline)
            try:
                status, pause, answer = exchange.result(deadline - time.monotonic())
            except (httpx.HTTPError, TimeoutError, ValueError):
                exchange.cancel()  # one that no thread was free for never starts
                status, pause, answer = 0, PAUSE, {}
            if last or 0 < status < 429 or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        if status != 200 and answer.get("error") != no:
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
    return response.status_code if answer else 0, pause, answer  # if not Daily's, it is no answer


def _start(spec: Spec) -> Answer:
    return {} if spec["opens_at"] is None else {"nbf": spec["opens_at"]}


def _spec(room: Answer) -> Spec:
    """A room that lets people stay past its end, or knock, does not close as ensure's do."""
    has = room.get("config") or {}
    closes = has.get("eject_at_room_exp") is True and not has.get("enable_knocking")
    return {
        "name": room["name"],
        "opens_at": has.get("nbf"),
        "closes_at": has.get("exp") if closes else None,
        "max_participants": has.get("max_participants"),
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
