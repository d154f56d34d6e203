"""The people: therapists, clients and operators, who do everything possible, at random."""

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import jwt

from scripts.lab.torture.history import Attempt, History
from scripts.lab.torture.stage import Stage
from scripts.local.tokens import LIFETIME_SECONDS, mint

Json = dict[str, Any]

_PATIENCE = (4.0, 12.0)  # seconds that a person waits for an answer
_HANG_UP = 0.06  # of all requests: the person hangs up within the next moments
_DOUBLE = 0.04  # a double click
_AGAIN = 0.05  # once more, though there was an answer
_PERSISTENCE = 4  # times that a person asks who gets no answer

# What each kind of people does, and how often out of a hundred.
HABITS = {
    "therapist": {
        "propose": 24,
        "propose_instant": 18,
        "finish": 16,
        "cancel": 10,
        "join": 10,
        "check_availability": 6,
        "list": 6,
        "look": 5,
        "clients": 3,
        "write_status": 2,
    },
    "client": {
        "approve": 42,
        "pending": 10,
        "join": 9,
        "cancel": 8,
        "decline": 6,
        "credits": 6,
        "preview": 4,
        "list": 4,
        "look": 4,
        "approve_foreign": 3,
        "write_credits": 2,
        "write_status": 2,
    },
    "operator": {
        "grant": 30,
        "legacy_lot": 6,
        "legacy_balance": 12,
        "legacy_session": 14,
        "legacy_status": 8,
        "adjust": 8,
        "sweep": 14,
        "reconcile": 8,
    },
}
_KEPT = (
    *("id", "user_id", "therapist_id", "title", "duration_minutes", "session_type", "is_instant"),
    *("created_at", "approved_at", "status", "cancelled_at", "cancellation_reason"),
    *("cancelled_by", "already_approved"),
)


@dataclass(frozen=True)
class Person:
    """Somebody with a token."""

    id: str
    kind: str
    token: str


@dataclass(frozen=True)
class Wish:
    """What a person wants, as the request for it: the same request each time."""

    act: str
    who: Person
    method: str
    url: str
    about: Json
    body: Json | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_repeatable: bool = True


@dataclass(frozen=True)
class Known:
    """A session as its people know it."""

    id: str
    client: str
    therapist: str


@dataclass
class Crowd:
    """All the people, what they know, and what they have done."""

    stage: Stage
    history: History
    seed: int
    therapists: int
    clients: int
    pause: float  # seconds between two requests of one person, on average
    at_once: int = 24  # people who wait for an answer at one time; the others begin a little later
    people: list[Person] = field(default_factory=list)
    probes: list[Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sessions: dict[str, deque[Known]] = defaultdict(lambda: deque(maxlen=12))
        self._legacy: deque[str] = deque(maxlen=200)
        self._lots: list[str] = []
        self._wishes = 0
        self._over = asyncio.Event()
        self._room = asyncio.Semaphore(self.at_once)
        self._http = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=200)
        )
        self._writers: dict[str, Callable[[Person, random.Random], Wish | None]] = {
            name.removeprefix("_wish_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("_wish_")
        }

    def settle(self) -> None:
        """Write the people and their first credits down."""
        self.stage.query(
            "update session_approval.settings set instant_ttl = '40 seconds',"
            " pending_ttl = '2 minutes'"
        )
        self.probes = self._added("therapist", "probe", 12)
        self.therapist_people = self._added("therapist", "therapist", self.therapists)
        self.client_people = self._added("individual", "client", self.clients)
        server: Json = {"role": "service_role", "iss": self.stage.issuer}
        server["exp"] = int(time.time()) + LIFETIME_SECONDS
        key = jwt.encode(server, self.stage.secret, "HS256")
        operators = [Person(f"operator {n}", "operator", key) for n in range(8)]
        self.people = [*self.therapist_people, *self.client_people, *operators]
        self._lots = [
            str(row["id"])
            for row in self.stage.query(
                "insert into public.user_credits (user_id, credits_balance, expires_at)"
                " select u.id, 1 + mod(n, 3), case n when 2 then now() + interval '9 days' end"
                " from public.users u cross join generate_series(1, 2) n"
                " where u.user_type = 'individual' returning id"
            )
        ]

    async def live(self) -> None:
        """Let every person do one thing after another, until they are stopped."""
        await asyncio.gather(*(self._live(person) for person in self.people))

    def stop(self) -> None:
        """Let every person finish what they have begun, and begin nothing more."""
        self._over.set()

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def probe(self, number: int) -> Attempt:
        """Make one request that must write to the database, and say how it went."""
        person = self.probes[number % len(self.probes)]
        chance = random.Random(f"{self.seed} probe {self._wishes}")  # noqa: S311
        wish = self._wish_propose_instant(person, chance)
        self._wishes += 1
        return await self._attempt(wish, self._wishes, 3.0)

    async def _live(self, person: Person) -> None:
        chance = random.Random(f"{self.seed} {self.people.index(person)}")  # noqa: S311
        habits = HABITS["client" if person.kind == "individual" else person.kind]
        while not self._over.is_set():
            pause = chance.expovariate(1 / self.pause)
            try:
                await asyncio.wait_for(self._over.wait(), pause)
            except TimeoutError:
                [act] = chance.choices(list(habits), list(habits.values()))
                wish = self._writers[act](person, chance)
                if wish is not None:
                    async with self._room:
                        await self._make(wish, chance)

    async def _make(self, wish: Wish, chance: random.Random) -> None:
        self._wishes += 1
        number = self._wishes
        patience = chance.uniform(*_PATIENCE)
        if wish.is_repeatable and chance.random() < _DOUBLE:
            await asyncio.gather(*(self._attempt(wish, number, patience) for _ in range(2)))
            return
        if chance.random() < _HANG_UP:
            await self._attempt(wish, number, chance.uniform(0, 0.05))
            if not wish.is_repeatable:
                return
        for nth in range(1, 1 + (_PERSISTENCE if wish.is_repeatable else 1)):
            attempt = await self._attempt(wish, number, patience)
            is_settled = attempt.status is not None and attempt.status < 500
            if is_settled and chance.random() >= _AGAIN:
                return
            await asyncio.sleep(chance.uniform(0.05, 0.8) * nth)

    async def _attempt(self, wish: Wish, number: int, patience: float) -> Attempt:
        attempt = Attempt(number, wish.act, wish.who.id, wish.about, time.time())
        headers = {"Authorization": f"Bearer {wish.who.token}", **dict(wish.headers)}
        url = wish.url
        if self.stage.drifting_url and wish.who not in self.probes and self._wishes % 2:
            url = url.replace(self.stage.api_url, self.stage.drifting_url)
        try:
            async with asyncio.timeout(patience):
                response = await self._http.request(
                    wish.method, url, json=wish.body, headers=headers, timeout=None
                )
        except (TimeoutError, httpx.TransportError):
            pass
        else:
            attempt.status = response.status_code
            self._understand(attempt, wish, response)
        attempt.end = time.time()
        self.history.add(attempt)
        return attempt

    def _understand(self, attempt: Attempt, wish: Wish, response: httpx.Response) -> None:
        """Keep those parts of an answer that can be checked later."""
        try:
            body = response.json() if response.content else {}
        except ValueError:
            attempt.code = "NOT_JSON"
            return
        if response.status_code >= 400:
            code = body.get("code")
            # PostgREST says the status there, and our name of the refusal as the hint.
            attempt.code = body.get("hint") if str(code).startswith("PT") else code
            return
        if isinstance(body, list):  # of PostgREST
            attempt.answer = {"rows": body}
        elif "sessions" in body:
            attempt.answer = {
                "foreign": [
                    s["id"]
                    for s in body["sessions"]
                    if wish.who.id not in (s["user_id"], s["therapist_id"])
                ]
            }
        elif "session" in body:
            session = body["session"]
            attempt.answer = {name: session.get(name) for name in _KEPT}
            attempt.answer["refunded"] = body.get("refunded")
            if attempt.act.startswith("propose"):
                known = Known(session["id"], session["user_id"], session["therapist_id"])
                for person in (known.client, known.therapist):
                    if known not in self._sessions[person]:
                        self._sessions[person].append(known)

    # Each wish as a request. None: the person has no session yet that it could be about.

    def _wish_propose(self, who: Person, chance: random.Random) -> Wish:
        start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        if chance.random() < 0.1:  # soon enough to be joined, too soon for a refund
            start = datetime.now(UTC) + timedelta(seconds=chance.randrange(150, 500))
            duration = 5
        else:
            start += timedelta(days=2, minutes=30 * chance.randrange(48 * 30))
            duration = chance.choice([30, 30, 45, 60])
        return self._proposal(
            "propose", who, chance, start_time=start.isoformat(), duration_minutes=duration
        )

    def _wish_propose_instant(self, who: Person, chance: random.Random) -> Wish:
        return self._proposal(
            "propose_instant", who, chance, is_instant=True, duration_minutes=chance.choice([5, 30])
        )

    def _proposal(self, act: str, who: Person, chance: random.Random, **body: Any) -> Wish:
        key = str(UUID(int=chance.getrandbits(128), version=4))
        client = chance.choice(self.client_people).id
        return Wish(
            act,
            who,
            "POST",
            f"{self.stage.api_url}/api/therapist/create-custom-session",
            {"key": key},
            {"patient_id": client, "title": f"Torture {key[:8]}", **body},
            (("Idempotency-Key", key),),
        )

    def _wish_approve(self, who: Person, chance: random.Random) -> Wish | None:
        session = self._own(who, chance)
        return None if session is None else self._approval("approve", who, session)

    def _wish_approve_foreign(self, who: Person, chance: random.Random) -> Wish | None:
        session = self._own(chance.choice(self.client_people), chance)
        if session is None or session.client == who.id:
            return None
        return self._approval("approve_foreign", who, session)

    def _approval(self, act: str, who: Person, session: Known) -> Wish:
        about, url = {"session": session.id}, f"{self.stage.api_url}/api/sessions/approve"
        return Wish(act, who, "POST", url, about, {"session_id": session.id})

    def _wish_decline(self, who: Person, chance: random.Random) -> Wish | None:
        return self._act("decline", who, chance, {})

    def _wish_cancel(self, who: Person, chance: random.Random) -> Wish | None:
        return self._act("cancel", who, chance, {"reason": "something came up"})

    def _wish_join(self, who: Person, chance: random.Random) -> Wish | None:
        return self._act("join", who, chance, {})

    def _wish_finish(self, who: Person, chance: random.Random) -> Wish | None:
        outcome = chance.choice(["completed", "completed", "no_show"])
        return self._act("finish", who, chance, {"outcome": outcome}, outcome=outcome)

    def _act(
        self, act: str, who: Person, chance: random.Random, body: Json, **about: Any
    ) -> Wish | None:
        session = self._own(who, chance)
        return (
            None
            if session is None
            else Wish(
                act,
                who,
                "POST",
                f"{self.stage.api_url}/api/sessions/{session.id}/{act}",
                {"session": session.id, **about},
                body,
            )
        )

    def _wish_preview(self, who: Person, chance: random.Random) -> Wish | None:
        session = self._own(who, chance)
        return (
            None
            if session is None
            else self._read("preview", who, f"/api/sessions/{session.id}/cancellation")
        )

    def _wish_look(self, who: Person, chance: random.Random) -> Wish | None:
        session = self._own(who, chance)
        return None if session is None else self._read("look", who, f"/api/sessions/{session.id}")

    def _wish_pending(self, who: Person, _: random.Random) -> Wish:
        return self._read("pending", who, "/api/sessions/pending")

    def _wish_list(self, who: Person, _: random.Random) -> Wish:
        return self._read("list", who, "/api/sessions?limit=20")

    def _wish_credits(self, who: Person, _: random.Random) -> Wish:
        return self._read("credits", who, "/api/credits/user")

    def _wish_clients(self, who: Person, _: random.Random) -> Wish:
        return self._read("clients", who, "/api/therapist/clients")

    def _read(self, act: str, who: Person, path: str) -> Wish:
        return Wish(act, who, "GET", f"{self.stage.api_url}{path}", {})

    def _wish_check_availability(self, who: Person, chance: random.Random) -> Wish:
        at = datetime.now(UTC) + timedelta(days=2, minutes=30 * chance.randrange(48 * 30))
        url = f"{self.stage.api_url}/api/therapist/check-availability"
        return Wish("check_availability", who, "POST", url, {}, {"start_time": at.isoformat()})

    # Straight to the tables without our functions, as people and as the application's own server.

    def _wish_write_status(self, who: Person, chance: random.Random) -> Wish | None:
        session = self._own(who, chance)
        return (
            None
            if session is None
            else self._write(
                "write_status",
                who,
                "PATCH",
                f"sessions?id=eq.{session.id}",
                {"status": "scheduled"},
            )
        )

    def _wish_write_credits(self, who: Person, _: random.Random) -> Wish:
        body = {"user_id": who.id, "credits_balance": 100}
        return self._write("write_credits", who, "POST", "user_credits", body)

    def _wish_legacy_lot(self, who: Person, chance: random.Random) -> Wish:
        lot = str(UUID(int=chance.getrandbits(128), version=4))
        body: Json = {"id": lot, "user_id": chance.choice(self.client_people).id}
        body["credits_balance"] = chance.choice([1, 2, 5])
        return self._write("legacy_lot", who, "POST", "user_credits", body, lot=lot)

    def _wish_legacy_balance(self, who: Person, chance: random.Random) -> Wish:
        lot = chance.choice(self._lots)
        body = {"credits_balance": chance.choice([0, 1, 2, 3])}
        return self._write("legacy_balance", who, "PATCH", f"user_credits?id=eq.{lot}", body)

    def _wish_legacy_session(self, who: Person, chance: random.Random) -> Wish:
        session = str(UUID(int=chance.getrandbits(128), version=4))
        start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        start += timedelta(days=2, minutes=30 * chance.randrange(48 * 30))
        body = {
            "id": session,
            "user_id": chance.choice(self.client_people).id,
            "therapist_id": chance.choice(self.therapist_people).id,
            "start_time": start.isoformat(),
            "end_time": (start + timedelta(minutes=30)).isoformat(),
        }
        self._legacy.append(session)
        return self._write("legacy_session", who, "POST", "sessions", body, session=session)

    def _wish_legacy_status(self, who: Person, chance: random.Random) -> Wish | None:
        if not self._legacy:
            return None
        path = f"sessions?id=eq.{chance.choice(self._legacy)}"
        body = {"status": chance.choice(["completed", "cancelled"])}
        return self._write("legacy_status", who, "PATCH", path, body)

    def _write(
        self, act: str, who: Person, method: str, path: str, body: Json, **about: Any
    ) -> Wish:
        url = f"{self.stage.rest_url}/{path}"
        return Wish(act, who, method, url, about, body, is_repeatable=False)

    def _wish_grant(self, who: Person, chance: random.Random) -> Wish:
        payment = chance.randrange(4000)
        amount, client = payment % 3 + 1, self.client_people[payment % self.clients].id
        about: Json = {"reference": f"payment {payment}", "amount": amount, "user": client}
        body: Json = {"p_user_id": client, "p_amount": amount, "p_source": "torture"}
        body["p_reference"] = about["reference"]
        return self._called("grant", who, "grant_credits", body, about)

    def _wish_adjust(self, who: Person, chance: random.Random) -> Wish:
        reason = f"correction {chance.getrandbits(64):x}"
        body: Json = {"p_lot_id": chance.choice(self._lots), "p_delta": chance.choice([-1, 1, 2])}
        body |= {"p_reason": reason, "p_actor_id": self.therapist_people[0].id}
        return self._called("adjust", who, "adjust_credits", body, {"reason": reason}, False)

    def _wish_sweep(self, who: Person, _: random.Random) -> Wish:
        return self._called("sweep", who, "sweep_sessions", {}, {})

    def _wish_reconcile(self, who: Person, _: random.Random) -> Wish:
        return self._called("reconcile", who, "reconcile_credits", {}, {})

    def _called(
        self, act: str, who: Person, function: str, body: Json, about: Json, again: bool = True
    ) -> Wish:
        url = f"{self.stage.rest_url}/rpc/{function}"
        return Wish(act, who, "POST", url, about, body, is_repeatable=again)

    def _own(self, who: Person, chance: random.Random) -> Known | None:
        """Return one of a person's latest sessions."""
        known = self._sessions[who.id]
        return chance.choice(known) if known else None

    def _added(self, kind: str, name: str, count: int) -> list[Person]:
        rows = self.stage.query(
            "insert into public.users (email, full_name, user_type)"
            " select %s || n || '@example.org', %s || ' ' || n, %s"
            " from generate_series(1, %s) n returning id, email",
            *(name, name, kind, count),
        )
        secret, issuer = self.stage.secret, self.stage.issuer
        return [
            Person(str(row["id"]), kind, mint(secret, issuer, str(row["id"]), row["email"]))
            for row in rows
        ]
