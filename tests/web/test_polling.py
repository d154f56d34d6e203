"""Looking again every few seconds: cheap while nothing happens, prompt when something does."""

import re

import pytest
from playwright.sync_api import Page, Response, expect

from tests.actors import Person
from tests.web.conftest import Api, Visitor, later
from tests.web.test_story import CREATE, THERAPY, balance, requests, soon, upcoming

pytestmark = pytest.mark.browser

WATCH = """() => {
  window.changes = [];
  const watch = (root) => {
    const say = ({ target }) => target.outerHTML ?? target.data;
    const note = (all) => window.changes.push(...all.map(say));
    new MutationObserver(note)
      .observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
    for (const { shadowRoot } of root.querySelectorAll("*")) if (shadowRoot) watch(shadowRoot);
  };
  watch(document);
}"""


def listen(page: Page) -> list[tuple[str, int]]:
    """Note every answer of the API from now on."""
    heard: list[tuple[str, int]] = []

    def hear(response: Response) -> None:
        if "/api/" in response.url:
            heard.append((response.url.partition("/api/")[2], response.status))

    page.on("response", hear)
    return heard


def test_while_nothing_happens_nothing_is_sent_again_and_nothing_is_rendered(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    waiting = api.propose(therapist, client, start_time=soon(days=3), title="Waiting")
    booked = api.propose(therapist, client, start_time=soon(days=2), title="Booked")
    api.approve(client, booked)
    theirs = visit(client, THERAPY).page
    desk = visit(therapist, CREATE).page
    expect(requests(theirs)).to_have_count(1)
    expect(upcoming(theirs)).to_have_count(1)
    expect(desk.get_by_text("Waiting with Nia Fox")).to_be_visible()
    for page, looks in ((theirs, 4), (desk, 1)):
        page.wait_for_load_state("networkidle")
        page.evaluate(WATCH)
        heard = listen(page)

        with page.expect_response(lambda response: response.status == 304):
            later(page)
        for _ in range(50):
            if len(heard) >= looks:
                break
            later(page)
            page.wait_for_timeout(100)
        page.wait_for_load_state("networkidle")

        assert len(heard) >= looks
        assert {status for _, status in heard} == {304}
        assert page.evaluate("window.changes") == []

    # The other side's acts come within the interval, and only what they concern is rendered.
    api.call(therapist, "POST", f"/sessions/{waiting['id']}/cancel")
    later(theirs)
    expect(requests(theirs)).to_contain_text("Dr Edda Stern has withdrawn this request.")
    assert not [text for text in theirs.evaluate("window.changes") if "Booked" in text]
    later(desk)
    expect(desk.get_by_text("No request is waiting for an answer.")).to_be_visible()


def test_a_change_appears_on_both_sides_within_the_interval(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    theirs = visit(client, THERAPY).page
    desk = visit(therapist, "/therapist/dashboard/client-sessions").page
    expect(balance(theirs)).to_have_text("3 credits")
    expect(desk.get_by_text("No request is waiting for an answer.")).to_be_visible()

    session = api.propose(therapist, client, start_time=soon(days=3), title="Proposed")
    later(theirs)
    expect(requests(theirs)).to_contain_text("Proposed")
    later(desk)
    expect(desk.get_by_text("Proposed with Nia Fox")).to_be_visible()

    api.approve(client, session)
    later(theirs)
    expect(balance(theirs)).to_have_text("2 credits")
    expect(upcoming(theirs)).to_contain_text("Proposed")
    later(desk)
    expect(upcoming(desk)).to_contain_text(re.compile("Scheduled.*Proposed"))


def test_the_servers_clock_is_still_heard_from_an_answer_that_has_no_body(
    visit: Visitor, client: Person
) -> None:
    page = visit(client, THERAPY).page
    expect(balance(page)).to_have_text("3 credits")

    with page.expect_response(lambda response: response.status == 304) as found:
        later(page)

    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", found.value.headers["date"])


def test_the_pending_list_is_there_within_150_ms_of_script_and_layout(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    for days in range(2, 7):
        api.propose(therapist, client, start_time=soon(days=days))
    page = visit(client, THERAPY).page
    expect(requests(page)).to_have_count(5)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    page.reload()
    expect(requests(page)).to_have_count(5)

    metrics = devtools.send("Performance.getMetrics")["metrics"]
    kinds = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
    assert 0 < sum(metric["value"] for metric in metrics if metric["name"] in kinds) < 0.150
