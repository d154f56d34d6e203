"""The checker finds each kind of violation: planted in a true history, or in its database."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from scripts.lab.torture.checker import Books, check
from scripts.lab.torture.history import Attempt, History, Trouble
from tests import actors
from tests.actors import Connection, Person, Row
from tests.servers import Server


@dataclass
class Story:
    """A short history that really happened, and where."""

    db: Connection
    therapist: Person
    client: Person
    history: History = field(default_factory=History)
    sessions: dict[str, Row] = field(default_factory=dict)

    def tell(
        self, act: str, who: Person | str, does: Callable[[], Any], **about: Any
    ) -> list[dict[str, Any]]:
        """Do something, and record it as the crowd does."""
        name = who if isinstance(who, str) else str(who.id)
        attempt = Attempt(len(self.history.attempts), act, name, about, time.time())
        done = does()
        rows: list[Row] = done if isinstance(done, list) else [done]
        attempt.end, attempt.status = time.time(), 200
        if act in ("grant", "adjust", "reconcile"):
            attempt.answer = {"rows": rows}
        elif rows and "status" in rows[0]:
            flat = {**rows[0], **rows[0]["beside"]}  # over HTTP it stands beside the session
            attempt.answer = {k: str(v) if k.endswith("id") else v for k, v in flat.items()}
            attempt.answer["approved_at"] = self._as_json(rows[0]["approved_at"])
        self.history.add(attempt)
        return rows

    def propose(self, name: str, **arguments: Any) -> Row:
        """Have a session proposed, under a key."""
        key = str(uuid4())
        [session] = self.tell(
            "propose",
            self.therapist,
            lambda: actors.propose(
                self.db, self.therapist, self.client, p_request_key=key, **arguments
            ),
            key=key,
        )
        self.sessions[name] = session
        return session

    def act(self, act: str, who: Person, name: str, function: str, **about: Any) -> None:
        """Have somebody act on a session."""
        session = self.sessions[name]["id"]
        more = {f"p_{key}": value for key, value in about.items()}
        self.tell(
            act,
            who,
            lambda: actors.call(self.db, who, function, p_session_id=session, **more),
            session=str(session),
            **about,
        )

    def last(self, act: str) -> Attempt:
        """The latest attempt at something."""
        return next(a for a in reversed(self.history.attempts) if a.act == act)

    def rules_broken(self) -> set[str]:
        """What the checker finds."""
        books = Books.read(lambda statement: self.db.execute(statement).fetchall())
        return {violation.rule for violation in check(self.history, books)}

    def tamper(self, statement: str, **values: Any) -> None:
        """Change the database behind everybody's back, triggers and all."""
        self.db.execute("set local session_replication_role = replica")
        *before, last = statement.split(";")
        for each in before:
            self.db.execute(each)
        assert self.db.execute(last, values).rowcount > 0
        self.db.execute("set local session_replication_role = origin")

    def _as_json(self, moment: Any) -> str | None:
        [row] = self.db.execute(
            "select to_json(%s::timestamptz)#>>'{}' as at", (moment,)
        ).fetchall()
        text: str | None = row["at"]
        return text


@pytest.fixture
def story(told: Story) -> Iterator[Story]:
    """What was told, to be spoiled by one test alone."""
    with told.db.transaction(force_rollback=True):
        yield replace(told, history=deepcopy(told.history))


@pytest.fixture(scope="module")
def told(server: Server) -> Iterator[Story]:
    """Five sessions: approved, cancelled with a refund, declined, waiting and finished."""
    with server.database("test_torture") as address, actors.connect(address) as db:
        db.execute("set timezone = 'UTC'")
        told = Story(db, actors.add_person(db, "therapist"), actors.add_person(db, "individual"))
        client, therapist = told.client, told.therapist
        [granted] = told.tell(
            "grant",
            "operator 1",
            lambda: db.execute(
                "select * from public.grant_credits(%s, 3, 'torture', 'payment 1')", (client.id,)
            ).fetchall(),
            reference="payment 1",
            amount=3,
            user=str(client.id),
        )
        told.tell(
            "adjust",
            "operator 1",
            lambda: db.execute(
                "select * from public.adjust_credits(%s, 2, 'correction 1', %s)",
                (granted["lot_id"], therapist.id),
            ).fetchall(),
            reason="correction 1",
        )
        for name in ("approved", "cancelled", "declined", "waiting"):
            told.propose(name)
        told.propose("finished", p_is_instant=True)
        for name in ("approved", "approved", "cancelled", "finished"):
            told.act("approve", client, name, "approve_session_and_deduct_credit")
        told.act("cancel", therapist, "cancelled", "cancel_session")
        told.act("decline", client, "declined", "decline_session")
        told.act("join", client, "finished", "join_session")
        told.act("finish", therapist, "finished", "finish_session", outcome="completed")
        told.tell("reconcile", "operator 1", list)
        yield told


LOST = "an acknowledged act is lost"
HALF = "half an act"
UNCAUSED = "done, though nobody was told so or could think so"
UNEQUAL = "unequal answers"
BOOKS = "the books do not add up"
TWICE = "somebody is in two sessions at once"
IMPOSSIBLE = "an impossible state"
UNDOCUMENTED = "an undocumented refusal"


def test_a_true_history_has_no_violation(story: Story) -> None:
    assert story.rules_broken() == set()
    assert len(story.history.attempts) == 16


def test_an_unanswered_act_may_have_happened_or_not(story: Story) -> None:
    for act, status, code in (
        ("approve", None, None),
        ("cancel", 504, "OUTCOME_UNKNOWN"),
        ("propose", None, None),
    ):
        lost = story.last(act)
        lost.status, lost.code, lost.answer = status, code, None
        lost.end -= 60  # whoever hung up did so before
    waiting = {"session": str(story.sessions["waiting"]["id"])}
    story.history.add(Attempt(90, "approve", str(story.client.id), waiting, time.time()))
    assert story.rules_broken() == set()


PLANTED_IN_THE_DATABASE = {
    "an approval is undone": (
        "update public.sessions set status = 'pending_approval', approved_at = null,"
        " credit_lot_id = null where id = %(approved)s",
        LOST,
    ),
    "a session is gone": ("delete from public.sessions where id = %(waiting)s", LOST),
    "a cancellation is undone": (
        "update public.sessions set status = 'scheduled' where id = %(cancelled)s",
        LOST,
    ),
    "a refund is missing": (
        "delete from session_approval.credit_ledger where kind = 'refund'",
        LOST,
    ),
    "a grant is missing": (
        "delete from session_approval.credit_ledger where kind = 'grant'",
        LOST,
    ),
    "a correction is missing": (
        "delete from session_approval.credit_ledger where source = 'adjust_credits'",
        LOST,
    ),
    "a join is forgotten": (
        "delete from session_approval.session_events where to_status = 'in_progress'",
        LOST,
    ),
    "a second debit, which a unique index refuses": (
        "drop index session_approval.credit_ledger_session_id_returns_id_idx;"
        "insert into session_approval.credit_ledger (lot_id, user_id, session_id, kind, delta,"
        " balance_after) select lot_id, user_id, session_id, kind, delta, balance_after"
        " from session_approval.credit_ledger where session_id = %(approved)s",
        HALF,
    ),
    "a debit without an approval": (
        "insert into session_approval.credit_ledger (lot_id, user_id, session_id, kind, delta,"
        " balance_after) select lot_id, user_id, %(waiting)s, kind, delta, balance_after"
        " from session_approval.credit_ledger where session_id = %(approved)s",
        HALF,
    ),
    "an approval without its debit": (
        "delete from session_approval.credit_ledger where session_id = %(approved)s",
        HALF,
    ),
    "an approval that holds no time": (
        "delete from session_approval.bookings where session_id = %(approved)s",
        HALF,
    ),
    "a cancelled session that holds its time": (
        "insert into session_approval.bookings values (%(cancelled)s, gen_random_uuid(), 'empty')",
        HALF,
    ),
    "an approval that nobody asked for": (
        "update public.sessions set approved_at = approved_at + interval '1 hour'"
        " where id = %(approved)s",
        UNCAUSED,
    ),
    "a grant that nobody asked for": (
        "insert into session_approval.credit_ledger (lot_id, user_id, kind, delta, balance_after,"
        " source, reference) select lot_id, user_id, kind, delta, balance_after, source, 'other'"
        " from session_approval.credit_ledger where kind = 'grant'",
        UNCAUSED,
    ),
    "a balance of its own": (
        "update public.user_credits set credits_balance = credits_balance + 1",
        BOOKS,
    ),
    "a session moved onto another": (
        "update public.sessions set (start_time, end_time) = (select s.start_time, s.end_time"
        " from public.sessions s where s.id = %(approved)s) where id = %(waiting)s",
        TWICE,
    ),
    "a status that no event led to": (
        "update public.sessions set status = 'no_show' where id = %(approved)s",
        IMPOSSIBLE,
    ),
    "a step that is none": (
        "update session_approval.session_events set to_status = 'in_progress'"
        " where session_id = %(declined)s and to_status = 'cancelled'",
        IMPOSSIBLE,
    ),
    "a step that is missing": (
        "delete from session_approval.session_events where session_id = %(finished)s"
        " and to_status = 'in_progress'",
        IMPOSSIBLE,
    ),
}


@pytest.mark.parametrize("planted", PLANTED_IN_THE_DATABASE)
def test_what_is_planted_in_the_database_is_found(story: Story, planted: str) -> None:
    statement, rule = PLANTED_IN_THE_DATABASE[planted]
    story.tamper(statement, **{name: row["id"] for name, row in story.sessions.items()})
    assert rule in story.rules_broken()


def answered_otherwise(story: Story) -> None:
    again = deepcopy(story.last("approve"))
    again.answer = {**(again.answer or {}), "created_at": "another moment"}
    story.history.add(again)


def said_to_be_refused(story: Story) -> None:
    story.last("cancel").status = 503
    story.last("cancel").code = "UPSTREAM_UNAVAILABLE"


def grant_said_to_be_refused(story: Story) -> None:
    story.last("grant").status = 503
    story.last("grant").code = "PGRST000"


def refused_with_an_error_of_ours(story: Story) -> None:
    story.last("reconcile").status = 500
    story.last("reconcile").code = "INTERNAL_ERROR"


def refused_as_a_stranger(story: Story) -> None:
    found = deepcopy(story.last("approve"))
    found.status, found.code, found.answer = 404, "SESSION_NOT_FOUND", None
    story.history.add(found)


def signed_out_without_a_reason(story: Story) -> None:
    found = deepcopy(story.last("join"))
    found.status, found.code, found.answer = 401, "AUTHENTICATION_ERROR", None
    story.history.add(found)


def let_a_stranger_approve(story: Story) -> None:
    found = deepcopy(story.last("approve"))
    found.act, found.answer = "approve_foreign", None
    story.history.add(found)


def showed_anothers_session(story: Story) -> None:
    listed = Attempt(91, "pending", str(story.client.id), {}, 1.0, 2.0, 200)
    listed.answer = {"foreign": [str(uuid4())]}
    story.history.add(listed)


def did_not_add_up_meanwhile(story: Story) -> None:
    story.last("reconcile").answer = {"rows": [{"problem": "a balance differs"}]}


def acknowledged_a_session_that_is_not_there(story: Story) -> None:
    lot = Attempt(92, "legacy_session", "operator 1", {"session": str(uuid4())}, 1.0, 2.0, 201)
    story.history.add(lot)


PLANTED_IN_THE_HISTORY = [
    (answered_otherwise, UNEQUAL),
    (said_to_be_refused, UNCAUSED),
    (grant_said_to_be_refused, UNCAUSED),
    (refused_with_an_error_of_ours, UNDOCUMENTED),
    (refused_as_a_stranger, UNDOCUMENTED),
    (signed_out_without_a_reason, UNDOCUMENTED),
    (let_a_stranger_approve, "what nobody may do was done"),
    (showed_anothers_session, "somebody saw another's session"),
    (did_not_add_up_meanwhile, BOOKS),
    (acknowledged_a_session_that_is_not_there, LOST),
]


@pytest.mark.parametrize(("plant", "rule"), PLANTED_IN_THE_HISTORY)
def test_what_is_planted_in_the_history_is_found(
    story: Story, plant: Callable[[Story], None], rule: str
) -> None:
    plant(story)
    assert story.rules_broken() == {rule}


def test_a_wrong_clock_excuses_who_was_signed_out_meanwhile(story: Story) -> None:
    signed_out_without_a_reason(story)
    now = time.time()
    story.history.add(Trouble("clock of an API +900 s", now - 60, now, 0.1))
    assert story.rules_broken() == set()


def test_other_code_may_put_a_session_onto_one_of_ours_but_not_the_other_way_round(
    story: Story,
) -> None:
    session = str(uuid4())

    def inserted() -> list[Row]:
        story.db.execute(
            "insert into public.sessions (id, user_id, therapist_id, start_time, end_time)"
            " select %s, user_id, therapist_id, start_time, end_time"
            " from public.sessions where id = %s",
            (session, story.sessions["approved"]["id"]),
        )
        return []

    story.tell("legacy_session", "operator 1", inserted, session=session)
    assert story.rules_broken() == set()

    story.last("legacy_session").end -= 3600  # as if it had been there before
    assert story.rules_broken() == {TWICE}


def test_a_history_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    kept = tmp_path / "history.jsonl"
    with kept.open("w") as file:
        copy = History(file=file)
        for event in (Attempt(1, "list", "somebody", {}, 1.0, 2.0, 200), Trouble("cut", 1.0, 2.0)):
            copy.add(event)
    assert History.read(kept) == History(copy.attempts, copy.troubles)
