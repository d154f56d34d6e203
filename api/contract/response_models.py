"""What answers are made of: declared for the contract, for Python only passes them on."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, WithJsonSchema

# A clock's time as Postgres writes it, which JSON Schema's own format "time" is not: no offset.
ClockTime = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d:\d\d(\.\d+)?$"})
]


class Shape(BaseModel):
    """Part of an answer. A field is always there; what may be unknown is null."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Person(Shape):
    """One of a session's two people."""

    id: UUID
    full_name: str | None
    email: str | None


class Session(Shape):
    """A session, as each of its two people sees it."""

    id: UUID
    user_id: UUID
    """The client."""
    therapist_id: UUID
    title: str | None
    description: str | None
    notes: str | None
    scheduled_date: date | None
    scheduled_time: ClockTime | None
    start_time: datetime
    end_time: datetime | None
    duration_minutes: int | None
    session_type: str | None
    status: str
    """Where it stands: the README draws the seven."""
    created_at: datetime | None
    is_instant: bool
    requires_approval: bool
    created_by: UUID | None
    approval_expires_at: datetime | None
    """An unanswered proposal is over from then on."""
    approved_at: datetime | None
    time_zone: str | None
    session_url: str | None
    """Where the room is, like the three below: from approval on."""
    room_name: str | None
    daily_room_url: str | None
    daily_room_name: str | None
    join_opens_at: datetime | None
    cancellation_reason: str | None
    cancelled_by: str | None
    cancelled_at: datetime | None
    therapist: Person
    client: Person
    series_id: UUID | None
    """The series that it belongs to."""
    free_cancel_until: datetime | None
    """Until when the client can cancel it and gets the credit back."""
    no_show_by: str | None
    """Of a no_show, who did not come: client, therapist or both."""


class Event(Shape):
    """One change of a session's status."""

    from_status: str | None
    to_status: str
    actor_id: UUID | None
    reason: str | None
    created_at: datetime


class PaidSession(Session):
    """An approved session, and what that left in the wallet."""

    credits_balance_after: int
    credits_low: bool
    already_approved: bool
    """True when this approval repeats an earlier one: nothing was taken again."""


class Room(Shape):
    """A video room."""

    name: str
    url: str


class Approved(Shape):
    """A session that is booked and paid."""

    session: PaidSession
    message: str
    room: Room | None
    room_reason: str | None
    """Why there is no room yet."""


class Sessions(Shape):
    """Some of the caller's sessions."""

    sessions: list[Session]
    has_more: bool
    """Whether there are sessions after this page."""


class History(Shape):
    """A session and everything that happened to it, oldest first."""

    session: Session
    events: list[Event]


class Ended(Shape):
    """A session that is over, or will not be."""

    session: Session
    message: str
    refunded: bool | None
    refund_expires_at: datetime | None
    """When the credit that came back stops paying; null: never."""


class Terms(Shape):
    """What calling a session off now would come to."""

    refundable: bool
    free_until: datetime | None
    reason: str


class Conflict(Shape):
    """A time that is taken; whose it is, and what for, the other person is not told."""

    start_time: datetime
    end_time: datetime


class OwnConflict(Conflict):
    """A time that is taken by one of the therapist's own sessions."""

    id: UUID
    title: str | None
    client_name: str | None


class FreeTime(Shape):
    """A time that is free."""

    time: datetime
    label: str
