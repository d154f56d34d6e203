"""The therapist's routes: propose a session, look for a free time, find a client."""

from datetime import time
from typing import Annotated
from uuid import UUID

from flask import Blueprint, Response, request
from pydantic import AfterValidator, WithJsonSchema

from api import supabase
from api.contract.endpoint import Body, Query, answer, answers, takes
from api.contract.fields import Day, Flag, Instant, Integer, Text
from api.contract.response_models import Conflict, FreeTime, OwnConflict, Person, Session, Shape
from api.identity import auth
from api.serving.errors import Refusal
from api.video.rooms import offer_room

routes = Blueprint("therapist", __name__, url_prefix="/api/therapist")
routes.before_request(auth.require_therapist_assurance)


def _wall_clock(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("must be a local time, without an offset: name its zone in time_zone")
    return value


WallClock = Annotated[
    time,
    AfterValidator(_wall_clock),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"}),
]


class Proposal(Body):
    """What a therapist proposes; the database knows what may be left out."""

    patient_id: UUID
    start_time: Instant | None = None
    """Either this, or the two below, or is_instant."""
    session_date: Day | None = None
    session_time: WallClock | None = None
    """As the clock there shows it: 10:00 or 10:00:00."""
    time_zone: Text | None = None
    """IANA's name of it; the installation's own when left out."""
    duration_minutes: Integer | None = None
    """5 to 480; settings.default_duration (30) when left out."""
    session_type: Text | None = None
    """video when left out."""
    title: Text | None = None
    notes: Text | None = None
    is_instant: Flag | None = None
    """It starts when it is approved, and needs no time."""


class Proposed(Shape):
    """A session that waits for its client's approval."""

    session: Session
    message: str


@routes.post("/create-custom-session")
@answers(
    Proposed,
    headers={"Idempotency-Key": "Any text of yours: same key, same session."},
    refuses=["TIME_SLOT_CONFLICT", "IDEMPOTENCY_CONFLICT", "NONEXISTENT_LOCAL_TIME"],
)
@takes(Proposal)
def create_custom_session(proposal: Proposal) -> Response:
    """Propose a session to a client; it waits for their approval.

    The header Idempotency-Key makes a repeated request safe: same key, same session.
    """
    parameters = proposal.parameters()
    if key := request.headers.get("Idempotency-Key"):
        parameters["p_request_key"] = key
    try:
        session = supabase.call_one("create_custom_session", **parameters)
    except Refusal as refusal:
        if refusal.question:
            _name_conflicts(refusal, proposal.patient_id)
        raise
    beside = session.pop("beside")
    # Made beforehand so that joining is instant; where it is, nobody learns before approval.
    offer_room(beside["room"])
    return answer(session=session, message=beside["message"])


def _name_conflicts(refusal: Refusal, patient_id: UUID) -> None:
    """Put the titles and names of the therapist's own sessions into the refusal of a taken time.

    The refusal itself went through Postgres's log, where none belong. Where they cannot be had
    either, it goes out with the times alone.
    """
    try:
        found = supabase.call_one(
            "check_availability", **refusal.question, p_patient_id=str(patient_id)
        )
    except Refusal:
        return
    if found["conflicting_sessions"]:
        refusal.details["conflicting_sessions"] = found["conflicting_sessions"]


class Question(Body):
    """A time at which a therapist, and perhaps a client, should be free."""

    start_time: Instant
    duration_minutes: Integer | None = None
    exclude_session_id: UUID | None = None
    """One of the therapist's own, which is to be moved there."""
    patient_id: UUID | None = None


class Availability(Shape):
    """Whether a time is free; where it is not, why not, and which are."""

    available: bool
    outside_hours: bool | None
    """Whether the time lies outside the therapist's working hours; null where none are known."""
    conflicting_sessions: list[OwnConflict | Conflict]
    suggested_times: list[FreeTime]


@routes.post("/check-availability")
@answers(Availability)
@takes(Question)
def check_availability(question: Question) -> Response:
    """Say whether a time is free: for the therapist, and for patient_id where it is given.

    Where it is not, says what is in the way and suggests free times. Nothing is held.
    """
    return answer(**supabase.call_one("check_availability", **question.parameters()))


class Client(Person):
    """Somebody to whom the therapist may propose sessions."""

    time_zone: str | None


class Clients(Shape):
    """Whom the therapist may propose sessions to, by name."""

    clients: list[Client]
    has_more: bool


class Search(Query):
    """Which clients, and which page of them."""

    search: Text | None = None
    """Words of the name or the e-mail address."""
    limit: Integer | None = None
    """1 to 100; 50 when left out."""
    after: UUID | None = None
    """The id of the last client of the page before."""


@routes.get("/clients")
@answers(Clients)
@takes(Search)
def list_clients(search: Search) -> Response:
    """List the clients to whom the therapist may propose sessions, a page at a time."""
    clients, has_more = supabase.call_page("list_clients", **search.parameters())
    return answer(clients=clients, has_more=has_more)
