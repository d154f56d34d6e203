"""The routes of both people: approve, decline, call off, look at and finish sessions."""

from uuid import UUID

from flask import Blueprint, Response, g
from pydantic import BaseModel, ConfigDict

from api import auth, rpc
from api.answers import answer
from api.bodies import Body, Integer, Text, read_body, read_id, read_query
from api.video import offer_room, remove_room

routes = Blueprint("sessions", __name__, url_prefix="/api/sessions")
routes.before_request(auth.sign_in)


class Approval(Body):
    """Which session is approved."""

    session_id: UUID


class Reason(Body):
    """Why, in the person's own words."""

    reason: Text | None = None


class Outcome(Body):
    """How a session ended."""

    outcome: Text | None = None


class Filter(BaseModel):
    """Which of the caller's sessions, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    status: Text | None = None
    upcoming: bool | None = None
    limit: Integer | None = None
    before: UUID | None = None


@routes.post("/approve")
def approve() -> Response:
    """Approve a session and pay for it with one credit; repeating it is safe.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 402 INSUFFICIENT_CREDITS,
    403 AUTHORIZATION_ERROR, 404 SESSION_NOT_FOUND, 409 SESSION_NOT_PENDING,
    409 TIME_SLOT_CONFLICT, 410 SESSION_EXPIRED.
    """
    approval = read_body(Approval)
    session = rpc.call_one("approve_session_and_deduct_credit", **approval.parameters())
    beside = rpc.take(session)
    session["credits_balance_after"] = beside["credits_balance_after"]
    session["credits_low"] = beside["credits_low"]
    session["already_approved"] = beside["already_approved"]
    g.code = "ALREADY_APPROVED" if beside["already_approved"] else "APPROVED"
    return answer(session=session, message=beside["message"], **offer_room(beside["room"]))


@routes.get("/pending")
def pending() -> Response:
    """List the sessions that wait for the caller's approval, newest first.

    Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.
    """
    return answer(sessions=rpc.call("list_pending_sessions"))


@routes.get("")
def list_sessions() -> Response:
    """List the caller's sessions, from either side, a page at a time.

    status: names separated by commas. upcoming: only what is not over, soonest first.
    limit: 1 to 100. before: the id of the last session of the page before.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.
    """
    wanted = read_query(Filter).model_dump(mode="json", exclude_none=True)
    if "status" in wanted:
        wanted["status"] = wanted["status"].split(",")
    parameters = {f"p_{name}": value for name, value in wanted.items()}
    return answer(sessions=rpc.call("list_sessions", **parameters))


@routes.get("/<session_id>")
def get_session(session_id: str) -> Response:
    """Show one of the caller's sessions, with everything that happened to it.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
    404 SESSION_NOT_FOUND.
    """
    session = rpc.call_one("get_session", p_session_id=read_id(session_id))
    events = session.pop("events")
    return answer(session=session, events=events)


@routes.post("/<session_id>/decline")
def decline(session_id: str) -> Response:
    """Decline a proposed session.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
    404 SESSION_NOT_FOUND, 409 SESSION_NOT_PENDING, 410 SESSION_EXPIRED.
    """
    parameters = read_body(Reason).parameters()
    return _ended(rpc.call_one("decline_session", p_session_id=read_id(session_id), **parameters))


@routes.post("/<session_id>/cancel")
def cancel(session_id: str) -> Response:
    """Call a session off: withdrawn while it waits, refunded by policy once approved.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
    404 SESSION_NOT_FOUND, 409 SESSION_NOT_CANCELLABLE, 409 SESSION_NOT_PENDING,
    410 SESSION_EXPIRED.
    """
    parameters = read_body(Reason).parameters()
    return _ended(rpc.call_one("cancel_session", p_session_id=read_id(session_id), **parameters))


@routes.get("/<session_id>/cancellation")
def preview_cancellation(session_id: str) -> Response:
    """Say whether calling the session off now would refund its credit, and until when.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
    404 SESSION_NOT_FOUND.
    """
    return answer(**rpc.call_one("preview_cancellation", p_session_id=read_id(session_id)))


@routes.post("/<session_id>/finish")
def finish(session_id: str) -> Response:
    """Say, as the therapist, how a session ended.

    Refusals: 400 VALIDATION_ERROR, 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR,
    404 SESSION_NOT_FOUND, 409 SESSION_NOT_FINISHABLE.
    """
    parameters = read_body(Outcome).parameters()
    return _ended(rpc.call_one("finish_session", p_session_id=read_id(session_id), **parameters))


def _ended(session: rpc.Row) -> Response:
    beside = rpc.take(session)
    remove_room(beside["room"])
    return answer(
        session=session,
        message=beside["message"],
        refunded=beside["refunded"],
        refund_expires_at=beside["refund_expires_at"],
    )
