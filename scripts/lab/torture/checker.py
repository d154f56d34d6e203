"""Compare a history with what the database says in the end; every difference is a violation.

An act that was acknowledged must be there. One that was refused must not be there. One without an
answer must be there as a whole, or not at all.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from scripts.lab.torture.history import Attempt, History

Row = dict[str, Any]

_EPSILON = 0.002  # seconds: the database's moments are rounded to microseconds, ours are floats

# What a request may be refused with, beside the codes which say that a part is away.
_DOCUMENTED = {
    "propose": {"TIME_SLOT_CONFLICT"},
    "approve": {
        *("INSUFFICIENT_CREDITS", "TIME_SLOT_CONFLICT", "SESSION_NOT_PENDING", "SESSION_EXPIRED"),
    },
    "approve_foreign": {"SESSION_NOT_FOUND"},
    "decline": {"SESSION_NOT_PENDING", "SESSION_EXPIRED"},
    "cancel": {"SESSION_NOT_CANCELLABLE", "SESSION_NOT_PENDING", "SESSION_EXPIRED"},
    "join": {
        *("SESSION_NOT_APPROVED", "SESSION_CANCELLED", "SESSION_NOT_OPEN", "SESSION_OVER"),
        "ROOM_UNAVAILABLE",
    },
    "finish": {"SESSION_NOT_FINISHABLE"},
    "adjust": {"CREDITS_BELOW_ZERO"},
    "write_status": {"42501", "AUTHORIZATION_ERROR"},
    "write_credits": {"42501", "AUTHORIZATION_ERROR"},
}
_AWAY = {"UPSTREAM_UNAVAILABLE", "OUTCOME_UNKNOWN"}
# Codes of PostgREST and Postgres themselves, to callers without our API: out of reach, broken off,
# starting or stopping, out of space. A deadlock (40P01) is not among them.
_AWAY_CODES = ("PGRST000", "PGRST001", "PGRST002", "PGRST003", "08", "53", "57P", "58")

# Acts that call PostgREST itself, which answers 400 without a code when Postgres closed the line.
_STRAIGHT = {
    *("grant", "adjust", "sweep", "reconcile", "write_status", "write_credits"),
    *("legacy_lot", "legacy_balance", "legacy_session", "legacy_status"),
}

_NEVER = {"approve_foreign", "write_status", "write_credits"}  # these are always refused

# What two answers to one request must agree in.
_STABLE = {
    "propose": (
        *("id", "user_id", "therapist_id", "title", "duration_minutes", "session_type"),
        *("is_instant", "created_at"),
    ),
    "approve": ("id", "approved_at", "created_at"),
    "decline": ("id", "status", "cancelled_at", "cancellation_reason", "cancelled_by"),
    "cancel": ("id", "status", "cancelled_at", "cancellation_reason", "cancelled_by", "refunded"),
    "finish": ("id", "status"),
    "grant": ("lot_id", "credits_granted"),
}

# Which acts can have brought a person's session to a status.
_CAUSES = {
    "pending_approval": {"propose"},
    "scheduled": {"approve"},
    "confirmed": {"approve"},
    "in_progress": {"join"},
    "completed": {"finish"},
    "no_show": {"finish"},
    "cancelled": {"decline", "cancel"},
}


@dataclass(frozen=True, order=True)
class Violation:
    """One rule that did not hold, for what, and how."""

    rule: str
    about: str
    how: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.about}: {self.how}"


@dataclass
class Books:
    """What the database says."""

    sessions: dict[str, Row]
    events: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    ledger: list[Row] = field(default_factory=list)
    overlaps: list[Row] = field(default_factory=list)
    disagreements: list[Row] = field(default_factory=list)
    transitions: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def read(cls, query: Callable[[str], list[Row]]) -> "Books":
        """Read everything that is needed, after all writing has ended."""
        sessions = {
            row["id"]: row
            for row in query(
                "select s.id::text, s.user_id::text, s.therapist_id::text, s.status,"
                " coalesce(s.requires_approval, false) as is_ours, s.is_instant, s.request_key,"
                " extract(epoch from s.created_at)::float8 as created_at,"
                " extract(epoch from s.approved_at)::float8 as approved_at,"
                " to_json(s.approved_at)#>>'{}' as approved_text,"
                " s.credit_lot_id::text as lot_id, s.cancelled_by::text, (select count(*)"
                "   from session_approval.bookings b where b.session_id = s.id) as bookings"
                " from public.sessions s"
            )
        }
        books = cls(sessions)
        for event in query(
            "select session_id::text, from_status, to_status, actor_id::text as actor,"
            " extract(epoch from created_at)::float8 as at"
            " from session_approval.session_events order by id"
        ):
            books.events[event["session_id"]].append(event)
        books.ledger = query(
            "select id, lot_id::text, user_id::text, session_id::text, kind, delta, source,"
            " reference, reason, extract(epoch from created_at)::float8 as at"
            " from session_approval.credit_ledger order by id"
        )
        books.disagreements = query("select * from public.reconcile_credits()") + query(
            "select 'the ledger does not sum to the balance' as problem,"
            " coalesce(l.id, e.lot_id) as lot_id from public.user_credits l full join ("
            "   select lot_id, sum(delta) as credits from session_approval.credit_ledger"
            "   group by lot_id) e on e.lot_id = l.id"
            " where coalesce(l.credits_balance, 0) <> coalesce(e.credits, 0)"
        )
        # double_bookings leaves out sessions that are over; this query has them too.
        books.overlaps = query(
            "with held as ("
            "  select h.*, coalesce(s.requires_approval, false) as is_ours"
            "  from session_approval.held_sessions h join public.sessions s on s.id = h.id)"
            " select a.id::text as one, b.id::text as other"
            " from held a join held b on b.id <> a.id and a.is_ours and (not b.is_ours or"
            "   a.id < b.id) and (a.user_id = b.user_id or a.therapist_id = b.therapist_id)"
            "   and a.start_time < b.end_time and b.start_time < a.end_time"
            " union select least(session_id, other_session_id)::text,"
            "   greatest(session_id, other_session_id)::text"
            " from session_approval.double_bookings"
        )
        books.transitions = {
            (row["from_status"], row["to_status"])
            for row in query("select from_status, to_status from session_approval.transitions")
        }
        return books


def check(history: History, books: Books) -> list[Violation]:
    """Return every violation, in order; none when all is well."""
    attempts = [attempt for attempt in history.attempts if attempt.about or attempt.answer]
    return sorted(
        {
            *_documented(history),
            *_acknowledged(attempts, books),
            *_whole(books),
            *_caused(attempts, books),
            *_equal(attempts),
            *_balanced(history.attempts, books),
            *_apart(attempts, books),
            *_possible(books),
        }
    )


def _act(attempt: Attempt) -> str:
    return "propose" if attempt.act == "propose_instant" else attempt.act


def _documented(history: History) -> Iterator[Violation]:
    """Every refusal is a documented one, and nothing is done that is never allowed."""
    clocks = [trouble for trouble in history.troubles if trouble.fault.startswith("clock")]
    for attempt in history.attempts:
        code, act = attempt.code or "", _act(attempt)
        about = f"{attempt.act} of {attempt.who} {attempt.about}"
        if attempt.outcome == "done":
            if act in _NEVER:
                yield Violation("what nobody may do was done", about, f"{attempt.status}")
            own = attempt.answer or {}
            if own.get("foreign") or (
                own.get("user_id") and attempt.who not in (own["user_id"], own["therapist_id"])
            ):
                yield Violation("somebody saw another's session", about, str(own))
        elif attempt.status is not None and not (
            code in _AWAY
            or (code == "" and act in _STRAIGHT)
            or code.startswith(_AWAY_CODES)
            or code in _DOCUMENTED.get(act, ())
            or (
                code == "AUTHENTICATION_ERROR"
                and any(c.covers(attempt.start) or c.covers(attempt.end) for c in clocks)
            )
        ):
            yield Violation("an undocumented refusal", about, f"{attempt.status} {code}")


def _acknowledged(attempts: Iterable[Attempt], books: Books) -> Iterator[Violation]:
    """Every act that was answered with success is in the database, once."""
    rule = "an acknowledged act is lost"
    debits = Counter(e["session_id"] for e in books.ledger if e["kind"] == "approval")
    refunds = Counter(e["session_id"] for e in books.ledger if e["kind"] == "refund")
    grants = Counter(
        (e["reference"], e["delta"], e["user_id"]) for e in books.ledger if e["kind"] == "grant"
    )
    reasons = Counter(e["reason"] for e in books.ledger if e["source"] == "adjust_credits")
    lots = {e["lot_id"] for e in books.ledger}
    reached = {(e["session_id"], e["to_status"]) for each in books.events.values() for e in each}
    for attempt in attempts:
        if attempt.outcome != "done":
            continue
        about, answer = attempt.about, attempt.answer or {}
        session = books.sessions.get(about.get("session") or answer.get("id") or "")
        subject = f"{attempt.act} {about}"
        match _act(attempt):
            case "propose":
                if session is None or session["request_key"] != about["key"]:
                    yield Violation(rule, subject, "there is no such session")
            case "approve":
                if session is None or session["approved_text"] != answer["approved_at"]:
                    yield Violation(rule, subject, "the session was not approved then")
                elif debits[session["id"]] != 1:
                    yield Violation(rule, subject, f"{debits[session['id']]} credits were taken")
            case "decline" | "cancel":
                if session is None or session["status"] != "cancelled":
                    yield Violation(rule, subject, "the session is not cancelled")
                elif refunds[session["id"]] != bool(answer["refunded"]):
                    yield Violation(rule, subject, f"{refunds[session['id']]} credits went back")
            case "join":
                if (about["session"], "in_progress") not in reached:
                    yield Violation(rule, subject, "the session never began")
            case "finish":
                if (about["session"], about["outcome"]) not in reached:
                    yield Violation(rule, subject, "the session never ended so")
            case "grant":
                if grants[(about["reference"], about["amount"], about["user"])] != 1:
                    yield Violation(rule, subject, "the ledger does not hold it once")
            case "adjust":
                if reasons[about["reason"]] != 1:
                    yield Violation(rule, subject, "the ledger does not hold it once")
            case "legacy_session":
                if session is None:
                    yield Violation(rule, subject, "there is no such session")
            case "legacy_lot":
                if about["lot"] not in lots:
                    yield Violation(rule, subject, "the ledger never heard of it")


def _whole(books: Books) -> Iterator[Violation]:
    """Every act is there as a whole or not at all, and never twice."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    paid_from: dict[str, str] = {}
    for entry in books.ledger:
        if entry["session_id"]:
            kinds[entry["session_id"]][entry["kind"]] += 1
            if entry["kind"] == "approval":
                paid_from[entry["session_id"]] = entry["lot_id"]
    for name, session in books.sessions.items():
        if not session["is_ours"]:
            continue
        entries, events = kinds[name], books.events[name]
        approvals = sum(
            e["from_status"] == "pending_approval" and e["to_status"] in ("scheduled", "confirmed")
            for e in events
        )
        is_approved = session["approved_at"] is not None
        rule = "half an act"
        if not (entries["approval"] == approvals == is_approved):
            how = f"approved: {is_approved}, events: {approvals}, debits: {entries['approval']}"
            yield Violation(rule, f"the approval of {name}", how)
        if session["lot_id"] != paid_from.get(name):
            how = f"it says {session['lot_id']}, the ledger {paid_from.get(name)}"
            yield Violation(rule, f"the lot that paid for {name}", how)
        cancellations = sum(e["to_status"] == "cancelled" for e in events)
        if cancellations != (session["status"] == "cancelled"):
            yield Violation(rule, f"the end of {name}", f"{cancellations} cancellations")
        if entries["refund"] > (session["status"] in ("cancelled", "no_show") and is_approved):
            yield Violation(rule, f"the refund of {name}", f"{entries['refund']} refunds")
        holds = session["status"] in ("scheduled", "confirmed", "in_progress")
        if session["status"] != "pending_approval" and session["bookings"] != 2 * holds:
            how = f"{session['status']}, with {session['bookings']} bookings"
            yield Violation(rule, f"the time of {name}", how)
    for (reference, source), times in Counter(
        (e["reference"], e["source"]) for e in books.ledger if e["kind"] == "grant"
    ).items():
        if times > 1:
            yield Violation("half an act", f"the grant {source} {reference}", f"{times} times")


def _caused(attempts: Iterable[Attempt], books: Books) -> Iterator[Violation]:
    """Every act in the database was asked for by that person, and was not refused."""
    rule = "done, though nobody was told so or could think so"
    asked: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.outcome != "refused":
            for name in ("session", "key", "reference", "reason"):
                if name in attempt.about:
                    asked[(_act(attempt), str(attempt.about[name]))].append(attempt)

    def could(acts: Iterable[str], about: str | None, who: str | None, at: float) -> bool:
        return any(
            (who is None or attempt.who == who)
            and attempt.start <= at + _EPSILON
            and (attempt.outcome == "unknown" or at <= attempt.end + _EPSILON)
            for act in acts
            for attempt in asked[(act, str(about))]
        )

    for name, session in books.sessions.items():
        for event in books.events[name]:
            at, who, status = event["at"], event["actor"], event["to_status"]
            about = session["request_key"] if status == "pending_approval" else name
            if who is not None and not could(_CAUSES[status], about, who, at):
                yield Violation(rule, f"{name} became {status}", f"by {who} at {at}")
        if session["is_ours"] and session["approved_at"] is not None:
            at, who = session["approved_at"], session["user_id"]
            if not could(["approve"], name, who, at):
                yield Violation(rule, f"the approval of {name}", f"by {who} at {at}")
    for entry in books.ledger:
        if entry["kind"] == "grant" and not could(["grant"], entry["reference"], None, entry["at"]):
            yield Violation(rule, f"the grant {entry['reference']}", f"at {entry['at']}")
        if entry["source"] == "adjust_credits" and not could(
            ["adjust"], entry["reason"], None, entry["at"]
        ):
            yield Violation(rule, f"the {entry['reason']}", f"at {entry['at']}")


def _equal(attempts: Iterable[Attempt]) -> Iterator[Violation]:
    """A repeated request gets the same answer as before."""
    given: dict[tuple[str, str], set[tuple[Any, ...]]] = defaultdict(set)
    for attempt in attempts:
        act = _act(attempt)
        if attempt.outcome == "done" and attempt.answer and act in _STABLE:
            answer = attempt.answer["rows"][0] if "rows" in attempt.answer else attempt.answer
            about = attempt.about.get("reference") or attempt.about.get("session")
            same = about if act in ("grant", "approve") else attempt.wish
            given[(act, str(same))].add(tuple(answer.get(name) for name in _STABLE[act]))
    for (act, about), answers in given.items():
        if len(answers) > 1:
            yield Violation("unequal answers", f"{act} {about}", f"{sorted(map(str, answers))}")


def _balanced(attempts: Iterable[Attempt], books: Books) -> Iterator[Violation]:
    """Lots, ledger and sessions add up, in the end and at every look meanwhile."""
    rule = "the books do not add up"
    for row in books.disagreements:
        yield Violation(rule, "in the end", str(row))
    for attempt in attempts:
        if attempt.act == "reconcile" and attempt.answer and attempt.answer["rows"]:
            yield Violation(rule, f"at {attempt.start}", str(attempt.answer["rows"]))


def _apart(attempts: Iterable[Attempt], books: Books) -> Iterator[Violation]:
    """No person is in two sessions at once, unless other code inserted one of them afterwards."""
    inserted = {
        a.about["session"]: a.end
        for a in attempts
        if a.act == "legacy_session" and a.outcome == "done"
    }
    for pair in books.overlaps:
        ours = [s for s in map(books.sessions.get, (pair["one"], pair["other"])) if s]
        decided, inserts = 0.0, []
        for session in ours:
            if session["is_ours"]:
                decided = session["approved_at" if session["is_instant"] else "created_at"] or 0.0
            else:
                inserts.append(inserted.get(session["id"], float("inf")))
        if not inserts or (len(inserts) == 1 and inserts[0] < decided):
            yield Violation("somebody is in two sessions at once", pair["one"], pair["other"])


def _possible(books: Books) -> Iterator[Violation]:
    """Each session came to its status step by step, each step a possible one."""
    rule = "an impossible state"
    for name, session in books.sessions.items():
        events = books.events[name]
        before: str | None = None
        for event in events:
            if event["from_status"] != before:
                yield Violation(rule, name, f"from {before} it went on from {event['from_status']}")
            step = (before, event["to_status"])
            first = before is None and event["to_status"] == "pending_approval"
            if session["is_ours"] and not first and step not in books.transitions:
                yield Violation(rule, name, f"from {step[0]} to {step[1]}")
            before = event["to_status"]
        if before != session["status"]:
            yield Violation(rule, name, f"it is {session['status']}, its last step led to {before}")
