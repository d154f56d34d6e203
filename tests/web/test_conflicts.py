"""A time that is taken: what is in the way, and the free times as choices, for both people."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.actors import Connection, Person
from tests.web.conftest import Api, Visitor, later
from tests.web.test_story import CREATE, THERAPY, choose, debits, requests

pytestmark = pytest.mark.browser

DAY = (datetime.now(UTC) + timedelta(days=9)).date()  # in winter time or summer time as a whole
PROPOSE = "**/api/therapist/create-custom-session"


def at(hour: int, minute: int = 0) -> str:
    """Return a moment of that day, as the API writes it."""
    return f"{DAY}T{hour:02}:{minute:02}:00+00:00"


def taken(*sessions: dict[str, Any], free: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the API's refusal of a time that is taken."""
    help_ = {
        "conflicting_sessions": list(sessions),
        "suggested_times": [{"time": time, "label": "in words"} for time in free],
    }
    return {
        "success": False,
        "error": "Time slot is already booked",
        "code": "TIME_SLOT_CONFLICT",
        "details": help_,
        **help_,
    }


def refuse(page: Page, address: str, body: dict[str, Any]) -> None:
    """Have the next request refused like this."""

    def answer(route: Route) -> None:
        route.fulfill(status=409, json=body)

    page.route(address, answer, times=1)


def propose_at_ten(page: Page, client: Person) -> None:
    choose(page, client)
    page.get_by_label("Date").fill(DAY.isoformat())
    page.get_by_label("Start", exact=True).fill("10:00")
    page.get_by_label("Time zone").select_option("Africa/Johannesburg")  # UTC+2
    page.get_by_role("button", name="Send request").click()


def test_a_taken_time_shows_what_is_in_the_way_and_a_free_one_is_proposed_by_one_key(
    visit: Visitor, therapist: Person, client: Person, db: Connection
) -> None:
    page = visit(therapist, CREATE, 409).page
    own = {
        "id": "00000000-0000-4000-8000-00000000abcd",
        "start_time": at(7, 45),
        "end_time": at(8, 15),
        "title": "<b>Review</b>",
        "client_name": "Ada Okafor",
    }
    others = {"start_time": at(8, 15), "end_time": at(8, 45)}
    refuse(page, PROPOSE, taken(own, others, free=(at(8, 45), at(12, 5))))
    propose_at_ten(page, client)

    told = page.get_by_text("That time is taken:").locator("..")
    expect(told).to_be_focused()
    expect(told.get_by_role("listitem")).to_have_text(
        [re.compile("09:45.+10:15 · <b>Review</b> with Ada Okafor"), re.compile("10:15.+10:45$")]
    )
    expect(told.get_by_role("button")).to_have_text([re.compile("10:45"), re.compile("14:05")])
    expect(page.get_by_label("Start", exact=True)).to_have_value("10:00")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Request sent to Nia Fox")).to_be_focused()
    [session] = db.execute(
        "select start_time, time_zone from public.sessions where user_id = %s", (client.id,)
    ).fetchall()
    assert session["start_time"].astimezone(UTC).isoformat() == at(12, 5)
    assert session["time_zone"] == "Africa/Johannesburg"
    expect(told).to_have_count(0)


def test_a_choice_that_was_taken_meanwhile_offers_others_and_keeps_the_rest_of_the_form(
    visit: Visitor, therapist: Person, client: Person
) -> None:
    page = visit(therapist, CREATE, 409).page
    page.get_by_label("Note", exact=True).fill("As discussed")
    between = {"start_time": at(8), "end_time": at(8, 30)}
    refuse(page, PROPOSE, taken(between, free=(at(9),)))
    propose_at_ten(page, client)
    told = page.get_by_text("That time is taken:").locator("..")
    refuse(page, PROPOSE, taken(between))

    told.get_by_role("button").click()

    expect(told).to_contain_text("No free time is near.")
    expect(told).to_be_focused()
    expect(page.get_by_label("Start", exact=True)).to_have_value(re.compile("^11:00"))
    expect(page.get_by_label("Note", exact=True)).to_have_value("As discussed")
    page.get_by_role("button", name="Send request").click()
    expect(page.get_by_role("heading", name="Request sent to Nia Fox")).to_be_visible()


def test_an_instant_session_that_cannot_start_now_says_so_and_the_request_stays(
    visit: Visitor, therapist: Person, client: Person, api: Api, db: Connection
) -> None:
    api.propose(therapist, client, is_instant=True)
    page = visit(client, THERAPY, 409).page
    between = {"start_time": at(8), "end_time": at(8, 30)}
    refuse(page, "**/api/sessions/approve", taken(between))

    page.get_by_role("button", name="Approve & Join Now").click()

    expect(requests(page)).to_contain_text("One of you is in another session at that time")
    expect(requests(page)).to_contain_text(re.compile("08:00.+08:30.+No credit was used"))
    later(page)
    expect(page.get_by_role("button", name="Approve & Join Now")).to_be_focused()
    assert debits(db, client) == 0

    page.get_by_role("button", name="Approve & Join Now").click()
    page.wait_for_url("**/video-session/*")
    assert debits(db, client) == 1


def test_a_time_that_is_really_taken_is_given_up_for_the_first_that_is_really_free(
    visit: Visitor, therapist: Person, client: Person, api: Api, db: Connection
) -> None:
    api.propose(therapist, client, start_time=at(8), title="In the way")
    page = visit(therapist, CREATE, 409).page
    propose_at_ten(page, client)
    told = page.get_by_text("That time is taken:").locator("..")
    expect(told).to_contain_text(re.compile("10:00.+10:30 · In the way with Nia Fox"))

    told.get_by_role("button").first.click()

    expect(page.get_by_role("heading", name="Request sent to Nia Fox")).to_be_visible()
    first, second = db.execute(
        "select start_time, end_time from public.sessions where user_id = %s order by created_at",
        (client.id,),
    ).fetchall()
    assert first["end_time"] <= second["start_time"] or second["end_time"] <= first["start_time"]
