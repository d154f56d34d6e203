"""Many at once: one credit goes once, none is refused while one is left, and nobody deadlocks."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import actors
from tests.actors import (
    Connection,
    Person,
    Row,
    add_person,
    balances,
    call,
    change,
    events,
    give_credits,
    ledger,
    overtaken,
    propose,
    row,
    wait_until_blocked,
)

Act = Callable[[Connection], Row]


@dataclass(frozen=True)
class Refusal:
    """What a refused call said."""

    state: str | None
    code: str | None


def attempt(db: Connection, act: Act) -> Row | Refusal:
    """Do something and return its answer, or the refusal; the connection goes on after it."""
    try:
        with db.transaction():
            return act(db)
    except psycopg.Error as error:
        return Refusal(error.sqlstate, error.diag.message_hint)


def approving(client: Person, session: Row) -> Act:
    """The act of approving a session."""
    return lambda db: actors.approve(db, client, session)


def ending(person: Person, function: str, session: Row) -> Act:
    """The act of declining or cancelling a session."""
    return lambda db: call(db, person, function, p_session_id=session["id"])[0]


def storm(address: str, acts: list[Act]) -> list[Row | Refusal]:
    """Do everything at once, each act in a thread with a connection of its own."""
    start = Barrier(len(acts))

    def run(act: Act) -> Row | Refusal:
        with actors.connect(address) as db:
            start.wait(30)
            return attempt(db, act)

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def tally(answers: list[Row | Refusal]) -> Counter[str]:
    """Count the answers: ok, or the refusal's code (or state, where it has none)."""
    return Counter(
        (answer.code or str(answer.state)) if isinstance(answer, Refusal) else "ok"
        for answer in answers
    )


def assert_every_credit_is_accounted_for(db: Connection) -> None:
    """Every lot is the sum of its entries, and every session was paid as often as it says."""
    wrong_lots = db.execute(
        "select l.id, l.credits_balance, sum(e.delta) from public.user_credits l"
        " join session_approval.credit_ledger e on e.lot_id = l.id group by l.id"
        " having l.credits_balance <> sum(e.delta) or l.credits_balance < 0"
    ).fetchall()
    wrong_sessions = db.execute(
        "select s.id, s.status, s.credit_lot_id, e.paid, e.refunded from public.sessions s"
        " cross join lateral (select"
        "   count(*) filter (where kind = 'approval' and lot_id = s.credit_lot_id) as paid,"
        "   count(*) filter (where kind = 'approval') as debits,"
        "   count(*) filter (where kind = 'refund' and lot_id = s.credit_lot_id) as refunded"
        "   from session_approval.credit_ledger where session_id = s.id) e"
        " where e.debits <> (s.approved_at is not null)::integer"
        " or e.paid <> (s.credit_lot_id is not null)::integer"
        " or (s.credit_lot_id is null) <> (s.approved_at is null)"
        " or e.refunded <> (e.paid = 1 and s.status = 'cancelled')::integer"
    ).fetchall()
    assert (wrong_lots, wrong_sessions) == ([], [])


@pytest.fixture
def owner(own_database: str) -> Iterator[Connection]:
    """A connection as the owner, whose changes stay."""
    with actors.connect(own_database) as db:
        yield db


# Storms.


def test_sixty_four_threads_approving_one_session_take_one_credit_and_get_equal_answers(
    own_database: str, owner: Connection
) -> None:
    therapist, client = add_person(owner, "therapist"), add_person(owner, "individual")
    give_credits(owner, client, 2)
    give_credits(owner, client, 1)
    session = propose(owner, therapist, client)

    answers = storm(own_database, [approving(client, session)] * 64)

    assert tally(answers) == {"ok": 64}
    assert Counter(answer["beside"].pop("already_approved") for answer in answers) == {
        False: 1,
        True: 63,
    }
    assert all(answer == answers[0] for answer in answers)
    assert [entry["kind"] for entry in ledger(owner, client)].count("approval") == 1
    assert len(events(owner, session)) == 2
    assert sum(balances(owner, client)) == 2
    assert_every_credit_is_accounted_for(owner)


def test_fifty_sessions_racing_for_one_credit_leave_one_winner(
    own_database: str, owner: Connection
) -> None:
    therapist, client = add_person(owner, "therapist"), add_person(owner, "individual")
    give_credits(owner, client, 1)
    sessions = [propose(owner, therapist, client) for _ in range(50)]

    answers = storm(own_database, [approving(client, session) for session in sessions])

    assert tally(answers) == {"ok": 1, "INSUFFICIENT_CREDITS": 49}
    assert {answer.state for answer in answers if isinstance(answer, Refusal)} == {"PT402"}
    statuses = [row(owner, "sessions", session["id"])["status"] for session in sessions]
    assert Counter(statuses) == {"scheduled": 1, "pending_approval": 49}
    assert balances(owner, client) == [0]
    assert_every_credit_is_accounted_for(owner)


@pytest.mark.parametrize("lots", [[1] * 12, [2, 3, 1, 4, 2], [12]], ids=str)
def test_the_number_of_successful_approvals_equals_the_number_of_credits(
    own_database: str, owner: Connection, lots: list[int]
) -> None:
    therapist, client = add_person(owner, "therapist"), add_person(owner, "individual")
    [clock] = owner.execute("select now()").fetchall()
    for age, amount in enumerate(lots):
        expires_at = clock["now"] + timedelta(days=7 * age % 5 + 1)
        give_credits(owner, client, amount, expires_at=expires_at)
    sessions = [propose(owner, therapist, client) for _ in range(40)]

    answers = storm(own_database, [approving(client, session) for session in sessions])

    assert tally(answers) == {"ok": 12, "INSUFFICIENT_CREDITS": 28}
    assert balances(owner, client) == [0] * len(lots)
    left = [
        answer["beside"]["credits_balance_after"] for answer in answers if isinstance(answer, dict)
    ]
    assert sorted(left) == list(range(12))
    assert_every_credit_is_accounted_for(owner)


def test_approvals_racing_with_cancellations_and_refusals_keep_every_credit(
    own_database: str, owner: Connection
) -> None:
    therapist, client = add_person(owner, "therapist"), add_person(owner, "individual")
    for amount in (1, 2, 3):
        give_credits(owner, client, amount)
    sessions = [propose(owner, therapist, client) for _ in range(16)]
    acts = [
        act
        for session in sessions
        for act in (
            approving(client, session),
            ending(therapist, "cancel_session", session),
            ending(client, "decline_session", session),
            approving(client, session),
        )
    ]

    answers = storm(own_database, acts)

    known = {"ok", "INSUFFICIENT_CREDITS", "SESSION_NOT_PENDING", "SESSION_NOT_CANCELLABLE"}
    assert set(tally(answers)) <= known
    statuses = {row(owner, "sessions", session["id"])["status"] for session in sessions}
    assert statuses == {"cancelled"}
    assert sum(balances(owner, client)) == 6
    assert_every_credit_is_accounted_for(owner)


def test_many_clients_approve_while_the_application_also_writes_credits(
    own_database: str, owner: Connection
) -> None:
    therapist = add_person(owner, "therapist")
    acts: list[Act] = []
    clients = [add_person(owner, "individual") for _ in range(8)]
    for client in clients:
        lot = give_credits(owner, client, 3)
        for _ in range(4):
            acts.append(approving(client, propose(owner, therapist, client)))
        for change_by in (1, -1):
            statement = (
                "update public.user_credits set credits_balance = credits_balance + %s"
                " where id = %s and credits_balance + %s >= 0 returning *"
            )
            values = (change_by, lot, change_by)
            acts.append(
                lambda db, statement=statement, values=values: (
                    db.execute(statement, values).fetchone() or {}
                )
            )

    answers = storm(own_database, acts)

    assert set(tally(answers)) <= {"ok", "INSUFFICIENT_CREDITS"}
    assert_every_credit_is_accounted_for(owner)
    for client in clients:
        kinds = Counter(entry["kind"] for entry in ledger(owner, client))
        assert kinds["approval"] in (2, 3, 4)


def test_thirty_two_retries_of_one_proposal_make_one_session(
    own_database: str, owner: Connection
) -> None:
    therapist, client = add_person(owner, "therapist"), add_person(owner, "individual")

    def proposing(db: Connection) -> Row:
        return propose(
            db, therapist, client, p_start_time="2030-01-01 10:00+00", p_request_key="k-1"
        )

    answers = storm(own_database, [proposing] * 32)

    assert tally(answers) == {"ok": 32}
    assert all(answer == answers[0] for answer in answers)
    assert len(events(owner, answers[0])) == 1


# Races, one step at a time.


class Race:
    """Two connections: the first does something and holds on, the second has to wait for it."""

    def __init__(self, owner: Connection, first: Connection, second: Connection) -> None:
        """Take three connections, of which the first is within a transaction."""
        self.owner, self.first, self.second = owner, first, second
        self.therapist = add_person(owner, "therapist")
        self.client = add_person(owner, "individual")

    def begin(self, act: Act) -> Row:
        """Do something on the first connection and leave its transaction open."""
        self.first.execute("select")
        return act(self.first)

    def overtaken(self, act: Act, *, commits: bool = True) -> Row | Refusal:
        """Start something on the second connection, see it wait, end the first, and answer."""
        answer = overtaken(
            self.owner, self.first, self.second, lambda db: attempt(db, act), commits=commits
        )
        return answer.result()

    def unhindered(self, act: Act) -> Row | Refusal:
        """Do something on the second connection that must not wait for the first."""
        self.second.execute("set lock_timeout = '2s'")
        return attempt(self.second, act)


@pytest.fixture
def race(own_database: str, owner: Connection) -> Iterator[Race]:
    """A race in a database of its own."""
    with ExitStack() as stack:
        first = stack.enter_context(actors.connect(own_database, autocommit=False))
        second = stack.enter_context(actors.connect(own_database))
        race = Race(owner, first, second)
        yield race
        assert_every_credit_is_accounted_for(owner)


def refusal(status: int, code: str) -> Refusal:
    """The refusal that a race ends with."""
    return Refusal(f"PT{status}", code)


def test_a_second_approval_waits_for_the_first_and_answers_the_same(race: Race) -> None:
    give_credits(race.owner, race.client, 2)
    session = propose(race.owner, race.therapist, race.client)
    first = race.begin(approving(race.client, session))

    second = race.overtaken(approving(race.client, session))

    assert second == {**first, "beside": {**first["beside"], "already_approved": True}}
    assert balances(race.owner, race.client) == [1]


def test_a_second_approval_takes_the_credit_when_the_first_one_fails(race: Race) -> None:
    give_credits(race.owner, race.client, 2)
    session = propose(race.owner, race.therapist, race.client)
    race.begin(approving(race.client, session))

    second = race.overtaken(approving(race.client, session), commits=False)

    assert isinstance(second, dict)
    assert second["beside"]["already_approved"] is False
    assert balances(race.owner, race.client) == [1]


@pytest.mark.parametrize("commits", [True, False])
def test_two_sessions_racing_for_one_credit_leave_one_winner(race: Race, commits: bool) -> None:
    give_credits(race.owner, race.client, 1)
    sessions = [propose(race.owner, race.therapist, race.client) for _ in range(2)]
    race.begin(approving(race.client, sessions[0]))

    second = race.overtaken(approving(race.client, sessions[1]), commits=commits)

    if commits:
        assert second == refusal(402, "INSUFFICIENT_CREDITS")
    else:
        assert isinstance(second, dict)
    assert balances(race.owner, race.client) == [0]


def test_a_racing_approval_is_not_refused_while_another_lot_can_pay(race: Race) -> None:
    give_credits(race.owner, race.client, 1, expires_at="tomorrow")
    other = give_credits(race.owner, race.client, 1)
    sessions = [propose(race.owner, race.therapist, race.client) for _ in range(2)]
    race.begin(approving(race.client, sessions[0]))

    second = race.overtaken(approving(race.client, sessions[1]))

    assert isinstance(second, dict)
    assert row(race.owner, "sessions", sessions[1]["id"])["credit_lot_id"] == other


@pytest.mark.parametrize("function", ["decline_session", "cancel_session"])
def test_an_approval_that_comes_after_the_end_of_a_proposal_is_refused(
    race: Race, function: str
) -> None:
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client)
    person = race.client if function == "decline_session" else race.therapist
    race.begin(ending(person, function, session))

    second = race.overtaken(approving(race.client, session))

    assert second == refusal(409, "SESSION_NOT_PENDING")
    assert balances(race.owner, race.client) == [1]


def test_a_refusal_that_comes_after_the_approval_changes_nothing(race: Race) -> None:
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client)
    race.begin(approving(race.client, session))

    second = race.overtaken(ending(race.client, "decline_session", session))

    assert second == refusal(409, "SESSION_NOT_PENDING")
    assert row(race.owner, "sessions", session["id"])["status"] == "scheduled"


def test_a_withdrawal_that_comes_after_the_approval_cancels_and_refunds(
    race: Race,
) -> None:
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client)
    race.begin(approving(race.client, session))

    second = race.overtaken(ending(race.therapist, "cancel_session", session))

    assert isinstance(second, dict)
    assert (second["cancellation_reason"], second["beside"]["refunded"]) == (
        "cancelled_by_therapist",
        True,
    )
    assert balances(race.owner, race.client) == [1]


@pytest.mark.parametrize("who", ["client", "therapist"])
def test_two_cancellations_at_once_refund_once(race: Race, who: str) -> None:
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client, p_start_time="2030-01-01 10:00+00")
    actors.approve(race.owner, race.client, session)
    first = race.begin(ending(race.client, "cancel_session", session))

    person = race.client if who == "client" else race.therapist
    second = race.overtaken(ending(person, "cancel_session", session))

    expected = first if who == "client" else refusal(409, "SESSION_NOT_CANCELLABLE")
    assert second == expected
    assert balances(race.owner, race.client) == [1]


def test_joining_waits_for_a_cancellation_and_is_refused(race: Race) -> None:
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client, p_is_instant=True)
    actors.approve(race.owner, race.client, session)
    race.begin(ending(race.therapist, "cancel_session", session))

    second = race.overtaken(ending(race.client, "join_session", session))

    assert second == refusal(409, "SESSION_CANCELLED")


def test_a_cancellation_waits_for_a_join_and_is_refused(race: Race) -> None:
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client, p_is_instant=True)
    actors.approve(race.owner, race.client, session)
    race.begin(ending(race.client, "join_session", session))

    second = race.overtaken(ending(race.therapist, "cancel_session", session))

    assert second == refusal(409, "SESSION_NOT_CANCELLABLE")
    assert balances(race.owner, race.client) == [0]


def test_an_approval_waits_for_the_application_that_takes_the_last_credit(race: Race) -> None:
    lot = give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client)
    race.first.execute("update public.user_credits set credits_balance = 0 where id = %s", (lot,))

    second = race.overtaken(approving(race.client, session))

    assert second == refusal(402, "INSUFFICIENT_CREDITS")


def test_an_approval_takes_another_lot_when_the_first_lot_is_deleted(race: Race) -> None:
    lot = give_credits(race.owner, race.client, 1, expires_at="tomorrow")
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client)
    race.first.execute("delete from public.user_credits where id = %s", (lot,))

    second = race.overtaken(approving(race.client, session))

    assert isinstance(second, dict)
    assert balances(race.owner, race.client) == [0]


def test_lots_are_locked_in_the_order_of_their_ids(race: Race, own_database: str) -> None:
    session = propose(race.owner, race.therapist, race.client)
    last, first = (UUID(f"{digit * 8}-0000-4000-8000-000000000000") for digit in "90")
    for lot in (last, first):
        race.owner.execute(
            "insert into public.user_credits (id, user_id, credits_balance) values (%s, %s, 1)",
            (lot, race.client.id),
        )
    race.first.execute("select from public.user_credits where id = %s for update", (first,))

    with ThreadPoolExecutor(1) as pool, actors.connect(own_database) as third:
        answer = pool.submit(attempt, race.second, approving(race.client, session))
        wait_until_blocked(race.owner, race.second)
        try:
            third.execute(
                "select from public.user_credits where id = %s for update nowait", (last,)
            )
        finally:
            race.first.rollback()
        assert isinstance(answer.result(20), dict)


def test_an_approval_does_not_wait_for_an_unfinished_purchase(race: Race) -> None:
    session = propose(race.owner, race.therapist, race.client)
    give_credits(race.first, race.client, 1)

    second = race.unhindered(approving(race.client, session))

    assert second == refusal(402, "INSUFFICIENT_CREDITS")


def test_a_second_proposal_with_the_same_key_waits_and_returns_the_first(race: Race) -> None:
    proposal: dict[str, Any] = {"p_start_time": "2030-01-01 10:00+00", "p_request_key": "k-1"}

    def proposing(db: Connection) -> Row:
        return propose(db, race.therapist, race.client, **proposal)

    first = race.begin(proposing)

    assert race.overtaken(proposing) == first


def test_a_second_proposal_with_the_same_key_is_made_when_the_first_one_fails(race: Race) -> None:
    proposal: dict[str, Any] = {"p_start_time": "2030-01-01 10:00+00", "p_request_key": "k-1"}

    def proposing(db: Connection) -> Row:
        return propose(db, race.therapist, race.client, **proposal)

    first = race.begin(proposing)

    second = race.overtaken(proposing, commits=False)
    assert isinstance(second, dict)
    assert second["id"] != first["id"]


def test_a_second_proposal_with_other_content_waits_and_is_a_conflict(race: Race) -> None:
    race.begin(lambda db: propose(db, race.therapist, race.client, p_request_key="k-1"))

    second = race.overtaken(
        lambda db: propose(
            db, race.therapist, race.client, p_request_key="k-1", p_duration_minutes=45
        )
    )

    assert second == refusal(422, "IDEMPOTENCY_CONFLICT")


def test_approvals_do_not_wait_for_a_locked_therapist_or_for_each_other(race: Race) -> None:
    clients = [race.client, add_person(race.owner, "individual")]
    sessions = []
    for client in clients:
        give_credits(race.owner, client, 1)
        sessions.append(propose(race.owner, race.therapist, client))
    race.first.execute(
        "select from public.users where id = %s for no key update", (race.therapist.id,)
    )
    race.begin(approving(clients[0], sessions[0]))

    second = race.unhindered(approving(clients[1], sessions[1]))

    assert isinstance(second, dict)
    race.first.commit()


def test_reading_never_waits(race: Race) -> None:
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client)
    race.begin(approving(race.client, session))

    for act in (
        lambda db: call(db, race.client, "get_session", p_session_id=session["id"])[0],
        lambda db: call(db, race.client, "list_pending_sessions")[0],
        lambda db: call(db, race.client, "list_sessions")[0],
        lambda db: call(db, race.client, "get_credits")[0],
        lambda db: call(db, race.client, "preview_cancellation", p_session_id=session["id"])[0],
    ):
        assert isinstance(race.unhindered(act), dict)
    race.first.commit()


def test_a_waiting_approval_is_refused_when_the_proposal_expires(race: Race) -> None:
    give_credits(race.owner, race.client, 1)
    session = propose(race.owner, race.therapist, race.client)
    race.first.execute("select")
    change(race.first, "sessions", session["id"], status="cancelled", cancellation_reason="expired")

    second = race.overtaken(approving(race.client, session))

    assert second == refusal(410, "SESSION_EXPIRED")
