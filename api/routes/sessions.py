"""The routes of both people: approve, decline, call off, look at and finish sessions."""

from uuid import UUID

from flask import Blueprint, Response, g
from werkzeug.routing import BaseConverter

from api import supabase
from api.contract.endpoint import Body, Query, answer, answers, read_id, takes
from api.contract.fields import Flag, Integer, Text
from api.contract.response_models import Approved, Ended, History, Sessions, Terms
from api.video.rooms import offer_room, remove_room

routes = Blueprint("sessions", __name__, url_prefix="/api/sessions")


class _SessionId(BaseConverter):
    """A session's id, or what somebody takes for one; never the name of a route beside it."""

    regex = "(?!approve$|join$)[^/]+"


routes.record_once(lambda state: state.app.url_map.converters.update(session=_SessionId))


class Approval(Body):
    """Which session is approved."""

    session_id: UUID


class Reason(Body):
    """Why, in the person's own words."""

    reason: Text | None = None


class Outcome(Body):
    """How a session ended."""

    outcome: Text | None = None
    """completed or no_show."""
    no_show_by: Text | None = None
    """Of a no_show, who did not come: client or therapist; the client when left out."""


class Page(Query):
    """Which page of a list."""

    limit: Integer | None = None
    """1 to 100; 50 when left out."""
    before: UUID | None = None
    """The id of the last session of the page before."""


class Filter(Page):
    """Which of the caller's sessions, and which page of them."""

    status: Text | None = None
    """Names separated by commas."""
    upcoming: Flag | None = None
    """Only what is not over, soonest first."""


@routes.post("/approve")
@answers(
    Approved,
    refuses=[
        "INSUFFICIENT_CREDITS",
        "SESSION_NOT_FOUND",
        "SESSION_NOT_PENDING",
        "TIME_SLOT_CONFLICT",
        "SESSION_EXPIRED",
    ],
)
@takes(Approval)
def approve(approval: Approval) -> Response:
    """Approve a session and pay for it with one credit; repeating it is safe."""
    session = supabase.call_one("approve_session_and_deduct_credit", **approval.parameters())
    beside = session.pop("beside")
    session["credits_balance_after"] = beside["credits_balance_after"]
    session["credits_low"] = beside["credits_low"]
    session["already_approved"] = beside["already_approved"]
    g.code = "ALREADY_APPROVED" if beside["already_approved"] else "APPROVED"
    return answer(session=session, message=beside["message"], **offer_room(beside["room"]))


@routes.get("/pending")
@answers(Sessions)
@takes(Page)
def pending(page: Page) -> Response:
    """List the sessions that wait for the caller's approval, newest first, a page at a time."""
    sessions, has_more = supabase.call_page("list_pending_sessions", **page.parameters())
    return answer(sessions=sessions, has_more=has_more)


@routes.get("")
@answers(Sessions)
@takes(Filter)
def list_sessions(wanted: Filter) -> Response:
    """List the caller's sessions, from either side, a page at a time."""
    parameters = wanted.parameters()
    if "p_status" in parameters:
        parameters["p_status"] = parameters["p_status"].split(",")
    sessions, has_more = supabase.call_page("list_sessions", **parameters)
    return answer(sessions=sessions, has_more=has_more)


@routes.get("/<session:session_id>")
@answers(History, refuses=["SESSION_NOT_FOUND"])
def get_session(session_id: str) -> Response:
    """Show one of the caller's sessions, with everything that happened to it."""
    session = supabase.call_one("get_session", p_session_id=read_id(session_id))
    beside = session.pop("beside")
    return answer(session=session, events=beside["events"])


@routes.post("/<session_id>/decline")
@answers(Ended, refuses=["SESSION_NOT_FOUND", "SESSION_NOT_PENDING", "SESSION_EXPIRED"])
@takes(Reason)
def decline(reason: Reason, session_id: str) -> Response:
    """Decline a proposed session."""
    found = read_id(session_id)
    return _ended(supabase.call_one("decline_session", p_session_id=found, **reason.parameters()))


@routes.post("/<session_id>/cancel")
@answers(
    Ended,
    refuses=[
        "SESSION_NOT_FOUND",
        "SESSION_NOT_CANCELLABLE",
        "SESSION_NOT_PENDING",
        "SESSION_EXPIRED",
    ],
)
@takes(Reason)
def cancel(reason: Reason, session_id: str) -> Response:
    """Call a session off: withdrawn while it waits, refunded by policy once approved."""
    found = read_id(session_id)
    return _ended(supabase.call_one("cancel_session", p_session_id=found, **reason.parameters()))


@routes.get("/<session_id>/cancellation")
@answers(Terms, refuses=["SESSION_NOT_FOUND"])
def preview_cancellation(session_id: str) -> Response:
    """Say whether calling the session off now would refund its credit, and until when."""
    return answer(**supabase.call_one("preview_cancellation", p_session_id=read_id(session_id)))


@routes.post("/<session_id>/finish")
@answers(Ended, refuses=["SESSION_NOT_FOUND", "SESSION_NOT_FINISHABLE"])
@takes(Outcome)
def finish(outcome: Outcome, session_id: str) -> Response:
    """Say, as the therapist, how a session ended."""
    found = read_id(session_id)
    return _ended(supabase.call_one("finish_session", p_session_id=found, **outcome.parameters()))


def _ended(session: supabase.Row) -> Response:
    beside = session.pop("beside")
    remove_room(beside["room"])
    return answer(
        session=session,
        message=beside["message"],
        refunded=beside["refunded"],
        refund_expires_at=beside["refund_expires_at"],
    )
