"""Events: every change of every session's status or time, by whoever, once and in order."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.actors import (
    Connection,
    Person,
    act_as,
    approve,
    call,
    change,
    events,
    give_credits,
    propose,
    row,
)
from tests.conftest import Refused


def steps(db: Connection, session: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what happened to a session: from, to, by whom, in which words."""
    return [
        (event["from_status"], event["to_status"], event["actor_id"], event["reason"])
        for event in events(db, session)
    ]


def test_every_step_of_a_session_leaves_one_event(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client, p_is_instant=True)
    approve(db, client, session)
    approve(db, client, session)
    for person in (therapist, client):
        call(db, person, "join_session", p_session_id=session["id"])
    for _ in range(2):
        call(db, therapist, "finish_session", p_session_id=session["id"])

    assert steps(db, session) == [
        (None, "pending_approval", therapist.id, None),
        ("pending_approval", "confirmed", client.id, None),
        ("confirmed", "in_progress", therapist.id, None),
        ("in_progress", "completed", therapist.id, None),
    ]


def kinds(db: Connection, session: dict[str, Any]) -> list[str]:
    """Return what each event of a session is called."""
    return [event["kind"] for event in events(db, session)]


def test_an_event_says_what_happened_and_from_which_start_to_which(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client)
    approve(db, client, session)
    db.execute(
        "update public.sessions set start_time = start_time + interval '1 hour',"
        " end_time = end_time + interval '1 hour'"
    )
    later = row(db, "sessions", session["id"])["start_time"]
    call(db, therapist, "cancel_session", p_session_id=session["id"])

    assert [
        (event["kind"], event["from_start"], event["to_start"]) for event in events(db, session)
    ] == [
        ("proposed", None, session["start_time"]),
        ("approved", session["start_time"], session["start_time"]),
        ("moved", session["start_time"], later),
        ("cancelled", later, later),
    ]


def test_a_longer_session_counts_as_moved(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)

    with act_as(db, client, "service_role"):
        db.execute("update public.sessions set end_time = end_time + interval '5 minutes'")

    moved = events(db, session)[-1]
    assert (moved["kind"], moved["from_status"], moved["to_status"], moved["actor_id"]) == (
        "moved",
        "pending_approval",
        "pending_approval",
        client.id,
    )


def test_the_approval_of_an_instant_session_counts_as_approved_and_not_as_moved(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = propose(db, therapist, client, p_is_instant=True)
    change(db, "sessions", session["id"], start_time="yesterday")

    approve(db, client, session)

    assert kinds(db, session)[-1] == "approved"


@pytest.mark.parametrize("person", ["client", "therapist"])
def test_a_proposal_that_ends_is_declined_or_withdrawn(
    db: Connection, therapist: Person, client: Person, person: str
) -> None:
    session = propose(db, therapist, client)
    caller = client if person == "client" else therapist

    call(db, caller, "cancel_session", p_session_id=session["id"])

    assert kinds(db, session)[-1] == {"client": "declined", "therapist": "withdrawn"}[person]


@pytest.mark.parametrize(
    ("before", "after", "reason", "is_moved", "kind"),
    [
        (None, "pending_approval", None, False, "proposed"),
        (None, "scheduled", None, False, "changed"),
        (None, None, None, False, "changed"),
        ("pending_approval", "scheduled", None, False, "approved"),
        ("pending_approval", "confirmed", None, True, "approved"),
        ("pending_approval", "cancelled", "expired", False, "expired"),
        ("pending_approval", "cancelled", "no time", False, "cancelled"),
        ("scheduled", "cancelled", "withdrawn", False, "cancelled"),
        ("confirmed", "in_progress", None, False, "started"),
        ("in_progress", "completed", None, False, "completed"),
        ("scheduled", "no_show", None, False, "no_show"),
        ("completed", "no_show", None, False, "corrected"),
        ("no_show", "completed", None, False, "corrected"),
        ("cancelled", "completed", None, False, "completed"),
        ("completed", "scheduled", None, False, "changed"),
        ("scheduled", "confirmed", None, False, "changed"),
        ("confirmed", "scheduled", None, True, "moved"),
        ("cancelled", "pending_approval", None, True, "changed"),
        ("scheduled", "scheduled", None, True, "moved"),
        ("scheduled", None, None, False, "changed"),
    ],
)
def test_the_kind_of_an_event_depends_on_the_change(
    db: Connection,
    before: str | None,
    after: str | None,
    reason: str | None,
    is_moved: bool,
    kind: str,
) -> None:
    [answer] = db.execute(
        "select session_approval.session_event_kind(%s, %s, %s, %s) as kind",
        (before, after, reason, is_moved),
    ).fetchall()

    assert answer == {"kind": kind}


def test_a_change_of_other_columns_leaves_no_event(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)

    change(db, "sessions", session["id"], title="Other", status="pending_approval")

    assert len(events(db, session)) == 1


def test_a_change_by_the_old_code_is_recorded_with_the_person_in_the_token(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute("grant all on public.sessions to authenticated")
    db.execute('create policy "Anything goes" on public.sessions using (true) with check (true)')
    with act_as(db, client):
        [session] = db.execute(
            "insert into public.sessions (user_id, therapist_id, start_time, end_time)"
            " values (%s, %s, 'tomorrow 10:00', 'tomorrow 11:00') returning id",
            (client.id, therapist.id),
        ).fetchall()
    with act_as(db, therapist):
        change(db, "sessions", session["id"], status="completed")

    assert steps(db, session) == [
        (None, "scheduled", client.id, None),
        ("scheduled", "completed", therapist.id, None),
    ]


def test_one_statement_over_many_sessions_leaves_an_event_for_each(
    db: Connection, therapist: Person, client: Person
) -> None:
    sessions = [propose(db, therapist, client) for _ in range(3)]

    db.execute("update public.sessions set status = 'no_show' where user_id = %s", (client.id,))

    for session in sessions:
        assert steps(db, session)[-1] == ("pending_approval", "no_show", None, None)


def test_an_event_records_the_final_status_after_other_triggers(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute(
        "create function public.always_cancel() returns trigger language plpgsql"
        " as 'begin new.status := ''cancelled''; return new; end'"
    )
    db.execute(
        "create trigger zz_last before update on public.sessions for each row"
        " execute function public.always_cancel()"
    )
    session = propose(db, therapist, client)

    change(db, "sessions", session["id"], title="Other")

    assert steps(db, session)[-1][:2] == ("pending_approval", "cancelled")


def test_the_actor_and_the_reason_do_not_pass_to_the_next_change(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)
    call(db, client, "decline_session", p_session_id=session["id"], p_reason="Mine alone")

    change(db, "sessions", session["id"], status="completed")
    other = propose(db, therapist, client)

    assert steps(db, session)[-1] == ("cancelled", "completed", None, None)
    assert steps(db, other) == [(None, "pending_approval", therapist.id, None)]


def test_a_call_that_changes_nothing_does_not_pass_on_its_actor(
    db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = approve(db, client, propose(db, therapist, client, p_is_instant=True))
    for _ in range(2):
        call(db, client, "join_session", p_session_id=session["id"])

    change(db, "sessions", session["id"], status="completed")

    assert steps(db, session)[-1] == ("in_progress", "completed", None, None)


def test_a_refused_change_does_not_pass_on_its_actor(
    db: Connection, therapist: Person, client: Person, refused: Refused
) -> None:
    session = propose(db, therapist, client)
    with refused(402, "INSUFFICIENT_CREDITS"):
        approve(db, client, session)

    change(db, "sessions", session["id"], status="scheduled")

    assert steps(db, session)[-1] == ("pending_approval", "scheduled", None, None)


def test_a_session_can_still_be_without_a_status(
    db: Connection, therapist: Person, client: Person
) -> None:
    db.execute("alter table public.sessions alter column status drop not null")
    [session] = db.execute(
        "insert into public.sessions (user_id, therapist_id, start_time, end_time, status)"
        " values (%s, %s, 'tomorrow 10:00', 'tomorrow 11:00', null) returning id",
        (client.id, therapist.id),
    ).fetchall()
    change(db, "sessions", session["id"], status="scheduled")
    change(db, "sessions", session["id"], status=None)

    assert [step[:2] for step in steps(db, session)] == [
        (None, None),
        (None, "scheduled"),
        ("scheduled", None),
    ]


def test_deleting_sessions_keeps_their_history(
    db: Connection, therapist: Person, client: Person
) -> None:
    session = propose(db, therapist, client)

    db.execute("delete from public.sessions where id = %s", (session["id"],))

    assert len(events(db, session)) == 1


def refuse_update(db: Connection) -> None:
    db.execute("update session_approval.session_events set reason = 'x'")


def refuse_delete(db: Connection) -> None:
    db.execute("delete from session_approval.session_events")


def refuse_insert(db: Connection) -> None:
    db.execute(
        "insert into session_approval.session_events (session_id, to_status)"
        " values (gen_random_uuid(), 'scheduled')"
    )


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize("act", [refuse_update, refuse_delete, refuse_insert])
def test_a_role_below_the_owner_cannot_write_events(
    db: Connection, client: Person, role: str, act: Callable[[Connection], None]
) -> None:
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        db.transaction(),
        act_as(db, client, role),
    ):
        act(db)
