"""Refusals tell why a session was cancelled by our words for it, never by the application's."""

from typing import Any

import pytest

from tests.actors import (
    Connection,
    Person,
    approve,
    call,
    change,
    give_credits,
    propose,
)
from tests.conftest import Refused

CALLS: list[tuple[str, str]] = [
    ("approve_session_and_deduct_credit", "SESSION_NOT_PENDING"),
    ("decline_session", "SESSION_NOT_PENDING"),
    ("cancel_session", "SESSION_NOT_CANCELLABLE"),
    ("join_session", "SESSION_CANCELLED"),
]


@pytest.mark.parametrize(("function", "code"), CALLS)
@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("withdrawn by Tara: her son is ill", None),
        ("cancelled_by_therapist", "cancelled_by_therapist"),
        (None, None),
    ],
)
def test_a_refusal_does_not_show_the_reasons_that_the_application_wrote(
    db: Connection,
    therapist: Person,
    client: Person,
    refused: Refused,
    function: str,
    code: str,
    stored: str | None,
    told: str | None,
) -> None:
    give_credits(db, client)
    session = approve(db, client, propose(db, therapist, client))
    change(db, "sessions", session["id"], status="cancelled", cancellation_reason=stored)

    with refused(409, code) as refusal:
        call(db, client, function, p_session_id=session["id"])

    details: dict[str, Any] = refusal.details
    assert details["cancellation_reason"] == told
    [listed] = call(db, client, "list_sessions")
    assert listed["cancellation_reason"] == stored
