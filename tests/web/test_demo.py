"""The demo: two people on one page, from the proposal to the room; on the local stack alone."""

import re

import pytest
from playwright.sync_api import expect

from api import create_app
from api.config import load_settings
from scripts.local.stack import Stack
from tests import actors
from tests.actors import Connection, Person
from tests.web.conftest import Visitor

DEMO = "/ui/demo"


@pytest.mark.browser
def test_a_therapist_and_a_client_meet_on_one_page(
    visit: Visitor, therapist: Person, client: Person, db: Connection, stack: Stack
) -> None:
    actors.change(db, "users", client.id, full_name="Nia Fox of the demo")
    page = visit(None, DEMO, 409).page
    theirs = page.get_by_role("region", name="Client", exact=True)
    desk = page.get_by_role("region", name="Therapist", exact=True)
    desk.get_by_label("Therapist", exact=True).select_option(therapist.email)
    theirs.get_by_label("Client", exact=True).select_option(client.email)
    expect(theirs.locator("credit-balance .sum")).to_have_text("3 credits")

    desk.get_by_role("searchbox", name="Client").fill(client.email)
    expect(desk.get_by_text("1 client found")).to_be_visible()
    page.keyboard.press("Enter")
    desk.get_by_role("radio", name="Instant").check()
    desk.get_by_role("button", name="Send request").click()
    desk.locator("create-session").get_by_role("link", name="Go to the video session").click()
    expect(desk.get_by_text("Waiting for the client's approval.").first).to_be_visible()

    # No clock was moved: what one side does, the other sees at once.
    theirs.get_by_role("button", name="Approve & Join Now").click()
    for side in (theirs, desk):
        frame = side.locator("video-session iframe")
        expect(frame).to_have_attribute("src", re.compile(f"^{re.escape(stack.daily_url)}/s-"))
        expect(frame.content_frame.locator("body")).to_have_attribute("data-state", "connected")
    assert page.url.endswith(DEMO)
    theirs.get_by_role("button", name="Leave the video").click()
    expect(theirs.locator("video-session")).to_have_count(0)


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1440])
def test_the_demo_fits_its_window(visit: Visitor, width: int) -> None:
    page = visit(None, DEMO, width=width).page
    expect(page.locator("credit-balance .sum")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_deployed_has_neither_the_demo_nor_the_local_sign_in() -> None:
    settings = load_settings(
        {
            "SUPABASE_URL": "http://supabase.test",
            "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_test",
            "SUPABASE_JWT_SECRET": "a secret that only this test knows, long enough",
        }
    )
    deployed = create_app(settings).test_client()
    for path in (DEMO, "/ui/demo.js", "/sign-in", "/sign-in.js", "/sign-in/people"):
        assert deployed.get(path).status_code == 404, path
    assert deployed.post("/sign-in/token", json={"email": "ada@example.org"}).status_code == 404
