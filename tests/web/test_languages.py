"""The language of the screens: what the element says, else the page, else the browser."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.actors import Person
from tests.web.conftest import Api, Visitor
from tests.web.test_story import CREATE, SESSIONS, THERAPY, requests, soon

pytestmark = pytest.mark.browser


def rewrite(page: Page, path: str, old: str, new: str) -> None:
    """Have a page of ours say something else, as a host page might."""

    def change(route: Route) -> None:
        page_as_it_is = route.fetch()
        assert old in page_as_it_is.text()
        route.fulfill(response=page_as_it_is, body=page_as_it_is.text().replace(old, new))

    page.route(f"**{path}", change)
    page.goto(path)


def test_a_german_page_speaks_german_from_the_request_to_the_answer(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    desk = visit(therapist, SESSIONS).page
    rewrite(desk, CREATE, '<html lang="en">', '<html lang="de">')
    desk.get_by_role("searchbox", name="Klientin oder Klient").fill(client.email)
    expect(desk.get_by_text("1 Person gefunden")).to_be_visible()
    desk.keyboard.press("Enter")
    desk.get_by_role("radio", name="Sofort").check()
    desk.get_by_role("button", name="Anfrage senden").click()
    expect(desk.get_by_role("heading", name="Anfrage an Nia Fox gesendet")).to_be_visible()
    said = desk.locator("create-session .done")
    expect(said).to_contain_text("Die Sitzung ist vorgeschlagen und wartet auf Bestätigung.")
    expect(said).not_to_contain_text(re.compile("Session|approval"))

    api.propose(therapist, client, start_time=soon(days=2), title="Rückblick")
    page = visit(client, THERAPY).page
    rewrite(page, THERAPY, '<html lang="en">', '<html lang="de-AT">')
    expect(page.get_by_role("heading", name="Wartet auf Ihre Antwort")).to_be_visible()
    card = requests(page).filter(has_text="Rückblick")
    expect(card).to_contain_text("Dr Edda Stern schlägt vor Rückblick")
    expect(card).to_contain_text(
        re.compile(r"(tag|woch), \d+\. \w+ 20\d\d.*(in 2 Tagen|übermorgen)")
    )
    expect(card).to_contain_text("1 Credit · danach noch 2 Credits")
    card.get_by_role("button", name="Sitzung bestätigen").click()
    expect(page.get_by_text("1 Credit verbraucht, noch 2 Credits.")).to_be_visible()
    page.get_by_role("button", name="Absagen …").click()
    expect(page.get_by_role("dialog")).to_contain_text("Sie bekommen Ihren Credit zurück. Bis")


def test_the_element_has_the_first_say_and_tells_its_language(
    visit: Visitor, client: Person
) -> None:
    page = visit(client, THERAPY).page
    rewrite(page, THERAPY, "<pending-session-approvals", '<pending-session-approvals locale="de"')
    expect(page.get_by_role("heading", name="Wartet auf Ihre Antwort")).to_be_visible()
    expect(page.get_by_role("heading", name="Upcoming sessions")).to_be_visible()
    expect(page.locator("pending-session-approvals")).to_have_attribute("lang", "de")
    expect(page.locator("credit-balance")).to_have_attribute("lang", "en-GB")


def test_a_page_that_says_nothing_follows_the_browser_and_one_without_words_too(
    visit: Visitor, client: Person
) -> None:
    page = visit(client, THERAPY).page
    page.add_init_script(
        "Object.defineProperty(navigator, 'languages', { get: () => ['fr', 'de-CH', 'en'] })"
    )
    for lang in ("", ' lang="fr"'):
        page.unroute_all()
        rewrite(page, THERAPY, '<html lang="en">', f"<html{lang}>")
        expect(page.get_by_role("heading", name="Wartet auf Ihre Antwort")).to_be_visible()
        expect(page.locator("credit-balance")).to_have_attribute("lang", "de-CH")


def test_a_host_page_has_words_of_its_own_for_an_element_and_for_the_page(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    api.propose(therapist, client, start_time=soon(days=2))
    page = visit(client, THERAPY).page
    page.evaluate(
        """async () => {
          const { texts } = await import("/ui/texts.js");
          texts.en["list.answer"] = "For you to decide";
          const element = document.createElement("pending-session-approvals");
          element.texts = { approve: "Book it" };
          document.querySelector("pending-session-approvals").replaceWith(element);
        }"""
    )
    expect(page.get_by_role("heading", name="For you to decide")).to_be_visible()
    expect(page.get_by_role("button", name="Book it")).to_be_visible()
