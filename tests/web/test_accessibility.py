"""axe-core finds nothing on any page, in any state, on a phone in the dark or on a wide screen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from scripts import CommandError
from scripts.local.npm import fetched
from tests import actors
from tests.actors import Connection, Person
from tests.web.conftest import Api, Visitor
from tests.web.test_story import CREATE, SESSIONS, THERAPY, choose, requests, soon, upcoming

pytestmark = pytest.mark.browser

AXE = "axe-core@4.14.1"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PRACTICE = [*WCAG, "best-practice"]
FIND = """async (rules) => {
  const { violations } = await axe.run(document, { runOnly: rules });
  const told = ({ target, failureSummary }) => `${target} ${failureSummary}`;
  return violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes.map(told)}`);
}"""

Check = Callable[..., None]


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, fetched by npm once and kept beside the local stack's programs."""
    try:
        source = fetched("axe-core/axe.min.js", AXE)
    except CommandError as error:
        pytest.skip(f"NOT TESTED, axe-core looks for barriers: {error}")
    return source.read_text()


@pytest.fixture(params=[360, 1440])
def width(request: pytest.FixtureRequest) -> int:
    """A phone, and a wide screen."""
    return int(request.param)


@pytest.fixture
def check(axe: str, width: int) -> Check:
    """Look for barriers on a page as it is; on the phone it is dark."""

    def look(page: Page, state: str, rules: list[str] = PRACTICE) -> None:
        page.emulate_media(
            color_scheme="dark" if width == 360 else "light", reduced_motion="reduce"
        )
        page.evaluate(axe)
        found = page.evaluate(FIND, rules)
        assert found == [], f"{state}, {width} px:\n" + "\n".join(found)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, state

    return look


def test_no_barrier_stands_before_a_client(
    visit: Visitor, therapist: Person, client: Person, api: Api, check: Check, width: int
) -> None:
    page = visit(client, THERAPY, "net::ERR_FAILED", width=width).page
    expect(page.get_by_text("Nothing is waiting for your answer.")).to_be_visible()
    check(page, "nothing there")

    api.propose(therapist, client, start_time=soon(days=2), notes="Two\nlines", title="Booked")
    api.propose(therapist, client, is_instant=True)
    page.reload()
    expect(requests(page)).to_have_count(2)
    check(page, "two requests")
    page.get_by_role("button", name="Decline…").first.click()
    check(page, "declining")
    page.keyboard.press("Escape")
    page.route("**/api/sessions/approve", lambda route: route.abort(), times=1)
    page.get_by_role("button", name="Approve Session").click()
    expect(page.get_by_text("Trying again is safe")).to_be_visible()
    check(page, "connection lost")
    page.get_by_role("button", name="Try again").click()
    expect(upcoming(page)).to_have_count(1)
    check(page, "approved")
    page.get_by_role("button", name="Cancel…").click()
    check(page, "cancelling")
    page.keyboard.press("Escape")
    upcoming(page).get_by_role("button", name="Details").click()
    check(page, "details")


def test_no_barrier_stands_before_a_client_without_credits(
    visit: Visitor, therapist: Person, db: Connection, api: Api, check: Check, width: int
) -> None:
    client = actors.add_person(db, "individual", "Abe Low")
    api.propose(therapist, client, start_time=soon(days=2))
    page = visit(client, THERAPY, 402, width=width).page
    page.get_by_role("button", name="Approve Session").click()
    expect(page.get_by_text("You need 1 credit")).to_be_visible()
    check(page, "no credits")
    page.goto("/dashboard/credits")
    expect(page.locator("credit-balance .sum")).to_be_visible()
    check(page, "the page for credits")


def test_no_barrier_stands_before_a_therapist(
    visit: Visitor, therapist: Person, client: Person, api: Api, check: Check, width: int
) -> None:
    page = visit(therapist, CREATE, 409, width=width).page
    page.get_by_role("button", name="Send request").click()
    check(page, "a proposal with everything missing")
    taken = api.propose(therapist, client, start_time=soon(days=3), title="In the way")
    choose(page, client)
    at = datetime.fromisoformat(taken["start_time"]).astimezone(UTC) + timedelta(minutes=1)
    page.get_by_label("Time zone").select_option("UTC")
    page.get_by_label("Date").fill(f"{at:%Y-%m-%d}")
    page.get_by_label("Start", exact=True).fill(f"{at:%H:%M}")
    check(page, "a proposal filled in")
    page.get_by_role("button", name="Send request").click()
    told = page.get_by_text("That time is taken:").locator("..")
    expect(told).to_contain_text("In the way with Nia Fox")
    check(page, "a time that is taken")
    told.get_by_role("button").first.click()
    expect(page.get_by_role("heading", name="Request sent to Nia Fox")).to_be_focused()
    check(page, "a request sent")

    now = api.propose(therapist, client, is_instant=True)
    api.approve(client, now)
    page.goto(SESSIONS)
    expect(upcoming(page)).to_have_count(1)
    check(page, "sessions")
    page.get_by_role("button", name="Withdraw…").first.click()
    check(page, "withdrawing")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Finish…").click()
    check(page, "finishing")
    page.keyboard.press("Escape")
    page.goto(f"/video-session/{taken['id']}")
    expect(page.get_by_text("Waiting for the client's approval.")).to_be_visible()
    check(page, "waiting for the approval")


def test_no_barrier_stands_before_who_is_not_signed_in(
    visit: Visitor, check: Check, width: int
) -> None:
    page = visit(None, THERAPY, width=width).page
    expect(page.get_by_role("link", name="Please sign in")).to_be_visible()
    check(page, "signed out")
    page.goto("/sign-in")
    expect(page.get_by_role("button", name="Dr Tara Adeyemi")).to_be_visible()
    check(page, "signing in")
    page.goto("/ui/demo")
    expect(page.locator("credit-balance .sum")).to_be_visible()
    check(page, "side by side", WCAG)  # two people's lists have one name
