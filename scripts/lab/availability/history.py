"""Approvals under load: every attempt is recorded, and compared with the database afterwards."""

import http.client
import json
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg

from scripts.lab.availability.people import Request

_TIMEOUT = 10.0
_PAUSE = 0.05  # before a refused request is repeated


@dataclass(frozen=True)
class Target:
    """Where approvals are asked for: the API, or PostgREST itself."""

    url: str
    path: str
    name: str  # of the session's id in the request

    @classmethod
    def api(cls, url: str) -> "Target":
        """The product's API."""
        return cls(url, "/api/sessions/approve", "session_id")

    @classmethod
    def postgrest(cls, url: str) -> "Target":
        """The function, by PostgREST."""
        return cls(url, "/rpc/approve_session_and_deduct_credit", "p_session_id")


@dataclass(frozen=True)
class Attempt:
    """One request, and what came back: status 0 is no answer at all."""

    request: Request
    began: float
    ended: float
    status: int
    code: str
    already_approved: bool

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told that the session is approved."""
        return self.status == 200

    @property
    def is_decided(self) -> bool:
        """Whether asking again would tell the client nothing new."""
        return 0 < self.status < 500


class Load:
    """Approvals by so many connections at once, within a block; a failed one is repeated."""

    def __init__(
        self,
        targets: Sequence[Target],
        tokens: Mapping[str, str],
        requests: Iterable[Request],
        connections: int = 8,
    ) -> None:
        """Name the targets, which the connections take in turn, the clients' tokens, the wishes."""
        self.history: list[Attempt] = []
        self.seconds = 0.0
        self._began = 0.0
        self._tokens = tokens
        self._requests = iter(requests)
        self._next = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask_on, args=(targets[n % len(targets)],))
            for n in range(connections)
        ]

    def __enter__(self) -> "Load":
        """Begin to ask."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Finish what is under way."""
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Return when every request has been decided."""
        for thread in self._threads:
            thread.join()
        self.seconds = self.seconds or time.monotonic() - self._began

    def acknowledged_since(self, moment: float) -> Attempt | None:
        """Return the first approval that was asked for, and acknowledged, after a moment."""
        good = (one for one in list(self.history) if one.began >= moment and one.acknowledged)
        return min(good, key=lambda one: one.ended, default=None)

    def _ask_on(self, target: Target) -> None:
        host = urlsplit(target.url).netloc
        connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
        while not self._stop.is_set():
            with self._next:
                request = next(self._requests, None)
            if request is None:
                break
            while True:
                attempt = _ask(connection, target, self._tokens[request.client], request)
                self.history.append(attempt)
                if attempt.is_decided or self._stop.wait(_PAUSE):
                    break
        connection.close()


def _ask(
    connection: http.client.HTTPConnection, target: Target, token: str, request: Request
) -> Attempt:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    began = time.monotonic()
    try:
        connection.request("POST", target.path, json.dumps({target.name: request.session}), headers)
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Attempt(request, began, time.monotonic(), 0, type(error).__name__, False)
    ended = time.monotonic()
    try:
        said: Any = json.loads(body)
    except ValueError:
        return Attempt(request, began, ended, status, "NOT_JSON", False)
    if status != 200:
        return Attempt(
            request, began, ended, status, str(said.get("hint") or said.get("code")), False
        )
    session = said[0] if isinstance(said, list) else said["session"]
    return Attempt(request, began, ended, status, "", session["already_approved"])


def latency(history: Sequence[Attempt]) -> tuple[float, float]:
    """Return the median and the 99th percentile of the attempts' milliseconds."""
    times = sorted((one.ended - one.began) * 1000 for one in history)
    return statistics.median(times), times[int(len(times) * 0.99)]


def kinds_of_answers(history: Iterable[Attempt]) -> str:
    """Say how many answers of each kind there were."""
    kinds = Counter(f"{one.status} {one.code}".strip() for one in history)
    return ", ".join(f"{number} x {kind}" for kind, number in sorted(kinds.items()))


def check(address: str, history: Iterable[Attempt]) -> list[str]:
    """Compare what clients were told with what the database holds; return what is wrong."""
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for one in history:
        attempts[one.request.session].append(one)
    with psycopg.connect(address) as db:
        rows = db.execute(
            "select s.id::text, s.status, count(e.id) from public.sessions s"
            " left join session_approval.credit_ledger e"
            " on e.session_id = s.id and e.kind = 'approval'"
            " group by s.id"
        ).fetchall()
        unbalanced = db.execute("select r.problem from public.reconcile_credits() r").fetchall()
    found = {session: (status, debits) for session, status, debits in rows}
    wrong = [f"reconcile_credits: {problem}" for (problem,) in unbalanced]
    for session, (status, debits) in found.items():
        if debits != (status == "scheduled"):
            wrong.append(f"{session} is {status} and was paid {debits} times")
    for session, tried in attempts.items():
        told = [one for one in tried if one.acknowledged]
        if told and found.get(session, ("absent", 0))[0] != "scheduled":
            wrong.append(f"{session} was acknowledged and is lost")
        if sum(not one.already_approved for one in told) > 1:
            wrong.append(f"{session} was taken twice by what clients were told")
    return wrong


def done_without_acknowledgement(history: Iterable[Attempt], code: str) -> int:
    """Count the sessions that were approved though every attempt was answered with this code."""
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for one in history:
        attempts[one.request.session].append(one)
    return sum(
        tried[-1].already_approved and {one.code for one in tried[:-1]} == {code}
        for tried in attempts.values()
    )
