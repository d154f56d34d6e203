"""The therapist's routes: propose a session, look for a free time, find a client."""

from datetime import date, time
from typing import Annotated
from uuid import UUID

from flask import Blueprint, Response, request
from pydantic import AfterValidator, AwareDatetime

from api import auth, rpc
from api.answers import answer
from api.bodies import Body, Integer, Text, read_body
from api.video import offer_room

routes = Blueprint("therapist", __name__, url_prefix="/api/therapist")
routes.before_request(auth.sign_in)
routes.before_request(auth.require_therapist_assurance)


def _wall_clock(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("must be a local time, without an offset: name its zone in time_zone")
    return value


class Proposal(Body):
    """What a therapist proposes; the database knows what may be left out."""

    patient_id: UUID
    start_time: AwareDatetime | None = None
    session_date: date | None = None
    session_time: Annotated[time, AfterValidator(_wall_clock)] | None = None
    time_zone: Text | None = None
    duration_minutes: Integer | None = None
    session_type: Text | None = None
    title: Text | None = None
    notes: Text | None = None
    is_instant: bool | None = None


@routes.post("/create-custom-session")
def create_custom_session() -> Response:
    """Propose a session to a client; it waits for their approval.

    The header Idempotency-Key makes a repeated request safe: same key, same session.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
    409 TIME_SLOT_CONFLICT, 422 IDEMPOTENCY_CONFLICT, 422 NONEXISTENT_LOCAL_TIME.
    """
    parameters = read_body(Proposal).parameters()
    if key := request.headers.get("Idempotency-Key"):
        parameters["p_request_key"] = key
    session = rpc.call_one("create_custom_session", **parameters)
    beside = rpc.take(session)
    # Made beforehand so that joining is instant; where it is, nobody learns before approval.
    offer_room(beside["room"])
    return answer(session=session, message=beside["message"])


class Question(Body):
    """A time at which a therapist, and perhaps a client, should be free."""

    start_time: AwareDatetime
    duration_minutes: Integer | None = None
    exclude_session_id: UUID | None = None
    patient_id: UUID | None = None


@routes.post("/check-availability")
def check_availability() -> Response:
    """Say whether a time is free: for the therapist, and for patient_id where it is given.

    Where it is not, says what is in the way and suggests free times. Nothing is held.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.
    """
    return answer(**rpc.call_one("check_availability", **read_body(Question).parameters()))


@routes.get("/clients")
def list_clients() -> Response:
    """List the clients to whom the therapist may propose sessions.

    Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.
    """
    return answer(clients=rpc.call("list_clients"))
