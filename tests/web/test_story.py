"""The whole story, lived in a browser on the running product: proposed, approved, paid, met."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from scripts.local.stack import Stack
from tests import actors
from tests.actors import Connection, Person
from tests.web.conftest import Api, Visitor, later, lose_answer

pytestmark = pytest.mark.browser

CREATE = "/therapist/dashboard/create-session"
SESSIONS = "/therapist/dashboard/client-sessions"
THERAPY = "/dashboard/therapy"


def soon(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


def choose(page: Page, client: Person) -> None:
    """Choose a client with the keyboard alone."""
    search = page.get_by_role("searchbox", name="Client")
    search.focus()
    page.keyboard.type(client.email)
    expect(page.get_by_text("1 client found")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("radio", name=client.email)).to_be_checked()


def requests(page: Page) -> Locator:
    return page.locator("pending-session-approvals").get_by_role("listitem")


def approve_button(page: Page) -> Locator:
    return page.get_by_role("button", name="Approve Session")


def balance(page: Page) -> Locator:
    return page.locator("credit-balance .sum")


def upcoming(page: Page) -> Locator:
    return page.get_by_role("region", name="Upcoming sessions").get_by_role("listitem")


def debits(db: Connection, client: Person) -> int:
    return sum(entry["kind"] == "approval" for entry in actors.ledger(db, client))


def test_a_proposal_is_approved_for_one_credit_and_appears_on_both_dashboards(
    visit: Visitor, therapist: Person, client: Person, db: Connection
) -> None:
    theirs = visit(client, THERAPY).page
    expect(balance(theirs)).to_have_text("3 credits")
    expect(theirs.get_by_text("Nothing is waiting for your answer.")).to_be_visible()

    desk = visit(therapist, CREATE).page
    choose(desk, client)
    desk.get_by_role("radio", name="Custom").check()
    desk.get_by_label("Date").fill((datetime.now(UTC) + timedelta(days=3)).date().isoformat())
    desk.get_by_label("Start", exact=True).fill("15:30")
    desk.get_by_label("Time zone").select_option("Europe/Paris")
    preview = desk.locator("create-session .preview")
    expect(preview).to_contain_text(re.compile(r"15:30.+16:00 \(Europe/Paris\), in [23] days"))
    expect(preview).to_contain_text(re.compile("For you: .*14:30.+15:00"))
    desk.get_by_label("Title", exact=True).fill("Check-in after the move")
    desk.get_by_label("Note", exact=True).fill("<b>Bring</b> the list, please.")
    desk.keyboard.press("Tab")
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("heading", name="Request sent to Nia Fox")).to_be_focused()
    waiting = desk.get_by_role("region", name="Waiting for approval").get_by_role("listitem")
    expect(waiting).to_contain_text("Check-in after the move with Nia Fox")

    later(theirs)
    # It comes by itself, and says who, what, when, how long, at what price, until when.
    request = requests(theirs)
    for words in (
        "Dr Edda Stern proposes Check-in after the move",
        r"14:30.+15:00 · in [23] days",
        "30 minutes",
        "<b>Bring</b> the list, please.",
        "1 credit · 2 credits left after",
        "Answer by",
    ):
        expect(request).to_contain_text(re.compile(words))
    approve_button(theirs).click()

    said = theirs.get_by_text("Session approved: Check-in after the move with Dr Edda Stern")
    expect(said).to_contain_text("1 credit used, 2 credits left.")
    expect(balance(theirs)).to_have_text("2 credits")
    expect(requests(theirs)).to_have_count(0)
    expect(upcoming(theirs)).to_contain_text("Check-in after the move with Dr Edda Stern")
    expect(upcoming(theirs)).to_contain_text("Can be joined from")
    assert debits(db, client) == 1

    desk.get_by_role("link", name="See your sessions").click()
    expect(upcoming(desk)).to_contain_text("Check-in after the move with Nia Fox")
    expect(upcoming(desk)).to_contain_text("Scheduled")
    upcoming(desk).get_by_role("button", name="Details").click()
    history = desk.get_by_role("dialog", name="Details").get_by_role("listitem")
    expect(history).to_contain_text(["Dr Edda Stern proposed it", "Nia Fox approved it"])


def test_an_instant_session_is_approved_and_both_people_meet_in_the_room(
    visit: Visitor, therapist: Person, client: Person, stack: Stack, db: Connection
) -> None:
    theirs = visit(client, THERAPY).page
    host = visit(therapist, CREATE, 409)  # asked whether it is approved, until it is
    desk = host.page
    choose(desk, client)
    desk.get_by_role("radio", name="Instant").check()
    expect(desk.get_by_label("Date")).to_be_hidden()
    desk.get_by_role("button", name="Send request").click()
    desk.locator("create-session").get_by_role("link", name="Go to the video session").click()
    expect(desk.get_by_text("Waiting for the client's approval.").first).to_be_visible()

    later(theirs)
    expect(requests(theirs)).to_contain_text("Answer within")
    theirs.get_by_role("button", name="Approve & Join Now").click()

    theirs.wait_for_url("**/video-session/*")
    later(desk)
    for page in (theirs, desk):
        frame = page.locator("video-session iframe")
        expect(frame).to_have_attribute("src", re.compile(f"^{re.escape(stack.daily_url)}/s-"))
        room = frame.content_frame
        expect(room.locator("body")).to_have_attribute("data-state", "connected")
    expect(theirs.frame_locator("iframe").locator("#remote")).to_contain_text("Dr Edda Stern")
    assert debits(db, client) == 1

    desk.goto(SESSIONS)
    upcoming(desk).get_by_role("button", name="Finish…").click()
    desk.get_by_role("button", name="Finish session").click()
    expect(desk.get_by_role("region", name="Past sessions")).to_contain_text("Completed")


def test_a_client_without_credits_sees_what_is_missing_and_the_way_to_credits(
    visit: Visitor, therapist: Person, api: Api, db: Connection
) -> None:
    client = actors.add_person(db, "individual", "Abe Low")
    lot = actors.give_credits(db, client, 1)
    api.propose(therapist, client, start_time=soon(days=1))
    page = visit(client, THERAPY, 402).page
    expect(requests(page)).to_contain_text("1 credit · 0 credits left after")
    page.evaluate(
        "addEventListener('insufficient-credits', (event) => (window.told = event.detail.short_by))"
    )
    db.execute("update public.user_credits set credits_balance = 0 where id = %s", (lot,))

    approve_button(page).click()

    expect(requests(page)).to_contain_text("You need 1 credit and have 0 credits.")
    assert page.evaluate("window.told") == 1
    expect(balance(page)).to_have_text("0 credits")
    requests(page).get_by_role("link", name="Get credits").click()
    page.wait_for_url("**/dashboard/credits")
    assert debits(db, client) == 0


def test_pressing_approve_twice_sends_one_approval_and_takes_one_credit(
    visit: Visitor, therapist: Person, client: Person, api: Api, db: Connection
) -> None:
    session = api.propose(therapist, client, start_time=soon(days=1))
    client_visit = visit(client, THERAPY)

    approve_button(client_visit.page).dblclick()

    expect(balance(client_visit.page)).to_have_text("2 credits")
    assert client_visit.approvals == [UUID(session["id"])]
    assert debits(db, client) == 1


def test_a_slow_answer_shows_that_it_is_under_way_and_cannot_be_asked_again(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    api.propose(therapist, client, start_time=soon(days=1))
    client_visit = visit(client, THERAPY)
    page = client_visit.page
    held: list[Route] = []
    page.route("**/api/sessions/approve", lambda route: held.append(route))

    approve_button(page).focus()
    page.keyboard.press("Enter")
    approving = page.get_by_role("button", name="Approving…")
    expect(approving).to_be_focused()
    expect(approving).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Enter")
    approving.click(force=True)
    page.get_by_role("button", name="Decline…").click(force=True)
    expect(page.get_by_role("dialog")).to_have_count(0)
    held[0].continue_()

    expect(page.get_by_text("1 credit used, 2 credits left.")).to_be_visible()
    assert len(client_visit.approvals) == 1


def test_a_declined_request_costs_nothing_and_its_reason_reaches_the_therapist(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    api.propose(therapist, client, start_time=soon(days=1), title="Too early")
    desk = visit(therapist, SESSIONS).page
    page = visit(client, THERAPY).page

    page.get_by_role("button", name="Decline…").click()
    page.get_by_label("Reason").fill("I am travelling. The week after?")
    page.get_by_role("button", name="Decline session").click()

    expect(page.locator(".notice")).to_contain_text("No credit was used")
    expect(page.locator(".notice")).to_be_focused()
    expect(balance(page)).to_have_text("3 credits")
    later(desk)
    past = desk.get_by_role("region", name="Past sessions").get_by_role("listitem")
    expect(past).to_contain_text("Declined")
    past.get_by_role("button", name="Details").click()
    expect(desk.get_by_role("dialog")).to_contain_text("I am travelling. The week after?")


def test_approving_in_a_second_tab_is_said_in_the_first_whose_card_then_leaves(
    visit: Visitor, therapist: Person, client: Person, api: Api, db: Connection
) -> None:
    api.propose(therapist, client, start_time=soon(days=1))
    first = visit(client, THERAPY).page
    expect(requests(first)).to_have_count(1)
    second = first.context.new_page()
    second.goto(THERAPY)

    approve_button(second).click()
    expect(balance(second)).to_have_text("2 credits")
    second.close()

    later(first)
    expect(requests(first)).to_contain_text("This session has been approved already.")
    later(first, 10)
    expect(balance(first)).to_have_text("2 credits")
    expect(requests(first)).to_have_count(0)
    assert debits(db, client) == 1


def test_a_withdrawn_request_that_is_approved_says_so_and_leaves(
    visit: Visitor, therapist: Person, client: Person, api: Api, db: Connection
) -> None:
    session = api.propose(therapist, client, start_time=soon(days=1))
    page = visit(client, THERAPY, 409, "net::ERR_FAILED").page
    expect(requests(page)).to_have_count(1)
    page.route("**/api/sessions/pending", lambda route: route.abort())
    api.call(therapist, "POST", f"/sessions/{session['id']}/cancel")

    approve_button(page).click()

    expect(requests(page)).to_contain_text("Dr Edda Stern has withdrawn this request.")
    page.unroute("**/api/sessions/pending")
    later(page, 10)
    expect(page.get_by_text("Nothing is waiting for your answer.")).to_be_visible()
    assert debits(db, client) == 0


@pytest.mark.parametrize("lost_on_the_way", ["there", "back"])
def test_when_the_network_is_lost_while_approving_trying_again_takes_one_credit(
    visit: Visitor,
    therapist: Person,
    client: Person,
    api: Api,
    db: Connection,
    lost_on_the_way: str,
) -> None:
    api.propose(therapist, client, start_time=soon(days=1))
    page = visit(client, THERAPY, "net::ERR_FAILED").page
    expect(requests(page)).to_have_count(1)
    lose = lose_answer if lost_on_the_way == "back" else lambda route: route.abort()
    page.route("**/api/sessions/approve", lose, times=1)
    page.route("**/api/sessions/pending", lambda route: route.abort())

    approve_button(page).click()
    expect(requests(page)).to_contain_text("Trying again is safe")
    assert debits(db, client) == (1 if lost_on_the_way == "back" else 0)
    page.get_by_role("button", name="Try again").click()

    expect(page.get_by_text("1 credit used, 2 credits left.")).to_be_visible()
    page.unroute("**/api/sessions/pending")
    expect(balance(page)).to_have_text("2 credits")
    assert debits(db, client) == 1


def test_cancelling_says_beforehand_whether_the_credit_comes_back(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    for days, title in ((2, "Far"), (0.5, "Near")):
        session = api.propose(therapist, client, start_time=soon(days=days), title=title)
        api.approve(client, session)
    page = visit(client, THERAPY).page
    expect(balance(page)).to_have_text("1 credit")

    for title, terms, after in (
        ("Far", "You get your credit back. Cancelling is free until", "2 credits"),
        ("Near", "It is too late for a refund", "2 credits"),
    ):
        card = upcoming(page).filter(has_text=title)
        card.get_by_role("button", name="Cancel…").click()
        dialog = page.get_by_role("dialog", name="Cancel this session?")
        expect(dialog).to_contain_text(terms)
        dialog.get_by_role("button", name="Cancel session").click()
        expect(card).to_have_count(0)
        expect(balance(page)).to_have_text(after)


def test_a_therapist_withdraws_a_request_from_the_list(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    api.propose(therapist, client, start_time=soon(days=1), title="Never mind")
    desk = visit(therapist, SESSIONS).page
    page = visit(client, THERAPY).page
    expect(requests(page)).to_have_count(1)

    desk.get_by_role("button", name="Withdraw…").click()
    desk.get_by_role("button", name="Withdraw request").click()

    expect(desk.get_by_text("Request withdrawn.")).to_be_visible()
    expect(desk.get_by_text("No request is waiting for an answer.")).to_be_visible()
    later(page)
    expect(requests(page)).to_contain_text("Dr Edda Stern has withdrawn this request.")


def test_a_proposal_shows_the_clients_local_time_beside_the_therapists(
    visit: Visitor, therapist: Person, client: Person, db: Connection
) -> None:
    actors.change(db, "users", client.id, time_zone="Asia/Kathmandu")
    page = visit(therapist, CREATE).page
    choose(page, client)
    page.get_by_label("Date").fill((datetime.now(UTC) + timedelta(days=3)).date().isoformat())
    page.get_by_label("Start", exact=True).fill("15:30")
    page.get_by_label("Time zone").select_option("Africa/Johannesburg")
    preview = page.locator("create-session .preview")
    expect(preview).to_contain_text(re.compile("15:30.+For Nia Fox: .*19:15"))
    expect(preview).to_contain_text("For you: ")

    page.get_by_label("Time zone").select_option("Asia/Katmandu")  # Chromium's name of it
    expect(preview).not_to_contain_text("For Nia Fox")
    page.get_by_role("searchbox", name="Client").fill("nobody of that name")
    page.get_by_label("Time zone").select_option("Europe/London")
    expect(preview).to_contain_text("15:30")
    expect(preview).not_to_contain_text("For ")


def test_a_client_of_the_third_page_can_be_chosen_too(
    visit: Visitor, therapist: Person, db: Connection
) -> None:
    db.execute(
        "insert into public.users (id, email, full_name, user_type) select gen_random_uuid(),"
        " n || '@many.example.org', 'Zz ' || to_char(n, 'FM000'), 'individual'"
        " from generate_series(1, 205) n"
    )
    try:
        page = visit(therapist, CREATE).page
        page.get_by_role("searchbox", name="Client").fill("Zz 205")

        expect(page.get_by_role("radio", name="Zz 205")).to_be_visible()
        expect(page.get_by_text("1 client found")).to_be_visible()
    finally:
        db.execute("delete from public.users where email like '%@many.example.org'")


def test_what_is_wrong_with_a_proposal_stands_beside_its_field_and_the_first_has_the_focus(
    visit: Visitor, therapist: Person, client: Person, db: Connection
) -> None:
    page = visit(therapist, CREATE, 400).page
    page.get_by_role("button", name="Send request").click()
    search = page.get_by_role("searchbox", name="Client")
    expect(search).to_be_focused()
    expect(search).to_have_accessible_description(re.compile("select one"))
    expect(page.get_by_label("Date")).to_have_accessible_description(re.compile("fill out"))

    choose(page, client)
    page.get_by_label("Date").fill(datetime.now(UTC).date().isoformat())
    page.get_by_label("Start", exact=True).fill("00:00")
    page.get_by_label("Time zone").select_option("Pacific/Kiritimati")  # where that is over
    page.get_by_role("button", name="Send request").click()
    start = page.get_by_label("Start", exact=True)
    expect(start).to_have_accessible_description(re.compile("must be in the future"))
    expect(start).to_be_focused()

    rows = db.execute("select from public.sessions where therapist_id = %s", (therapist.id,))
    assert rows.fetchall() == []


def test_a_proposal_whose_answer_is_lost_is_sent_again_without_being_proposed_twice(
    visit: Visitor, therapist: Person, client: Person, db: Connection
) -> None:
    page = visit(therapist, CREATE, "net::ERR_FAILED").page
    choose(page, client)
    page.get_by_role("radio", name="Instant").check()
    page.route("**/api/therapist/create-custom-session", lose_answer, times=1)
    page.get_by_role("button", name="Send request").click()
    expect(page.get_by_text("Sending it again is safe")).to_be_visible()

    page.get_by_role("button", name="Send request").click()

    expect(page.get_by_role("heading", name="Request sent to Nia Fox")).to_be_visible()
    rows = db.execute("select from public.sessions where user_id = %s", (client.id,)).fetchall()
    assert len(rows) == 1


def test_who_comes_too_early_waits_with_a_countdown_and_is_let_in(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    session = api.propose(therapist, client, start_time=soon(minutes=10, seconds=5))
    api.approve(client, session)

    page = visit(client, f"/video-session/{session['id']}", 409).page

    expect(page.get_by_text("You are early.")).to_be_visible()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^0:0\d$"))
    room = page.locator("video-session iframe").content_frame
    expect(room.locator("body")).to_have_attribute("data-state", "waiting")


def test_the_video_page_says_why_somebody_cannot_join(
    visit: Visitor, therapist: Person, client: Person, api: Api, db: Connection
) -> None:
    cancelled = api.propose(therapist, client, start_time=soon(minutes=5))
    api.approve(client, cancelled)
    api.call(therapist, "POST", f"/sessions/{cancelled['id']}/cancel")
    stranger = actors.add_person(db, "individual", "Sam Other")

    page = visit(client, f"/video-session/{cancelled['id']}", 409).page
    expect(page.get_by_text("This session was called off.")).to_be_visible()
    page = visit(stranger, f"/video-session/{cancelled['id']}", 404).page
    expect(page.get_by_text("There is no such session, or it is not yours.")).to_be_visible()


def test_without_a_room_the_video_page_offers_to_try_again(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    session = api.propose(therapist, client, is_instant=True)
    api.approve(client, session)
    refusal = {
        "success": False,
        "error": "The video provider did not answer: please try again in a moment.",
        "code": "ROOM_UNAVAILABLE",
        "details": None,
    }
    page = visit(client, THERAPY, 503).page
    page.route("**/join", lambda route: route.fulfill(status=503, json=refusal), times=1)
    upcoming(page).get_by_role("link", name="Join").click()
    expect(page.get_by_text("The video provider did not answer")).to_be_visible()

    page.get_by_role("button", name="Try again").click()

    expect(page.locator("video-session iframe")).to_be_visible()


def test_who_is_not_signed_in_is_shown_the_way_and_comes_back(
    visit: Visitor, therapist: Person
) -> None:
    page = visit(None, SESSIONS).page
    expect(page.get_by_role("region")).to_have_count(0)
    page.get_by_role("link", name="Please sign in").click()
    page.get_by_role("button").filter(has_text=therapist.email).click()
    page.wait_for_url(re.compile(f"{SESSIONS}$"))
    expect(page.get_by_text("No request is waiting for an answer.")).to_be_visible()
    page.get_by_role("link", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.go_back()
    expect(page.get_by_role("link", name="Please sign in")).to_be_visible()


@pytest.mark.parametrize("elsewhere", ["https://example.org/", "//example.org", "/\\example.org"])
def test_signing_in_leads_nowhere_else(visit: Visitor, therapist: Person, elsewhere: str) -> None:
    page = visit(None, f"/sign-in?next={quote(elsewhere)}").page
    page.get_by_role("button").filter(has_text=therapist.email).click()
    page.wait_for_url(re.compile(f"{SESSIONS}$"))


def test_an_expired_token_is_renewed_by_the_host_page_without_a_word(
    visit: Visitor, client: Person, db: Connection
) -> None:
    client_visit = visit(client, THERAPY, 401)
    page = client_visit.page
    expect(balance(page)).to_have_text("3 credits")
    actors.give_credits(db, client)
    asked = page.evaluate(
        """async (good) => {
          const wallet = document.querySelector("credit-balance");
          const asked = [];
          wallet.token = async ({ renew }) => {
            asked.push(renew);
            return renew ? good : "expired";
          };
          await wallet.refresh(true);
          return asked;
        }""",
        client_visit.token,
    )
    assert asked == [False, True]
    expect(balance(page)).to_have_text("4 credits")


def test_looking_again_takes_neither_the_focus_nor_what_is_being_written(
    visit: Visitor, therapist: Person, client: Person, api: Api
) -> None:
    api.propose(therapist, client, start_time=soon(days=1), title="First")
    page = visit(client, THERAPY).page
    page.get_by_role("button", name="Decline…").focus()

    api.propose(therapist, client, start_time=soon(days=2), title="Second")

    later(page)
    expect(requests(page)).to_have_count(2)
    expect(requests(page).filter(has_text="First").get_by_role("button").last).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("Perhaps")
    page.evaluate("document.querySelector('pending-session-approvals').refresh(true)")
    expect(page.get_by_label("Reason")).to_have_value("Perhaps")
    page.keyboard.press("Escape")
    expect(requests(page).filter(has_text="First").get_by_role("button").last).to_be_focused()


@pytest.mark.parametrize("width", [360, 1440])
def test_every_page_fits_its_window_and_obeys_its_policy(
    visit: Visitor, therapist: Person, client: Person, api: Api, width: int
) -> None:
    session = api.propose(
        therapist, client, start_time=soon(days=1), title="x" * 200, notes="long words " + "y" * 300
    )
    for person, paths in (
        (client, (THERAPY, "/dashboard/credits", f"/video-session/{session['id']}")),
        (therapist, (CREATE, SESSIONS)),
    ):
        page = visit(person, THERAPY, 409, width=width).page
        for path in paths:
            answer = page.goto(path)
            assert answer is not None
            assert "unsafe" not in answer.headers["content-security-policy"]
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
