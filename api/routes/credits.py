"""The client's route to their credits."""

from datetime import datetime
from uuid import UUID

from flask import Blueprint, Response

from api import supabase
from api.contract.endpoint import Query, answer, answers, takes
from api.contract.fields import BigInteger
from api.contract.response_models import Shape

routes = Blueprint("credits", __name__, url_prefix="/api/credits")


class Lot(Shape):
    """Credits that were bought together."""

    id: UUID
    credits_balance: int
    expires_at: datetime | None
    created_at: datetime | None
    is_spendable: bool


class Entry(Shape):
    """One change of a lot's balance."""

    id: int
    kind: str
    delta: int
    balance_after: int
    lot_id: UUID
    session_id: UUID | None
    session_title: str | None
    reason: str | None
    created_at: datetime


class Wallet(Shape):
    """What somebody has to spend, and how it came to that."""

    credits_balance: int
    total_credits: int
    active_credits: int
    credits_low: bool
    lots: list[Lot]
    history: list[Entry]
    has_more: bool
    """Whether there are earlier changes than these."""


class Changes(Query):
    """Which page of the changes; there are 100 on a page."""

    before: BigInteger | None = None
    """The id of the last change of the page before."""


@routes.get("/user")
@answers(Wallet)
@takes(Changes)
def get_credits(changes: Changes) -> Response:
    """Show the caller's credits: what an approval would see, each lot, and a page of changes."""
    return answer(**supabase.call_one("get_credits", **changes.parameters()))
