"""The stand-in's room page in a real browser: who gets in, and that two people see and hear each
other."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from scripts.local.fake_daily.app import bind

pytestmark = pytest.mark.browser

API_KEY = "a-key-of-the-stand-in-that-is-long-enough-for-hs256"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
PATIENCE = 15_000  # milliseconds for a page to reach a state
AT_ONCE = 4.0  # seconds: well before silence alone would free a seat

# What a page knows of the other person's sound and picture.
PICTURE = """() => {
  const video = document.getElementById("remote-video");
  const sound = video.srcObject?.getAudioTracks() ?? [];
  return {
    width: video.videoWidth,
    at: video.currentTime,
    heard: sound.some((track) => track.readyState === "live" && !track.muted),
  };
}"""
NO_DEVICES = """navigator.mediaDevices.getUserMedia =
  () => Promise.reject(new DOMException("none", "NotFoundError"));"""

SLOW_PERMISSION = """const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wish) => {
  await new Promise((allow) => { window.allow = allow; });
  window.granted = await ask(wish);
  return window.granted;
};"""


@dataclass
class Building:
    """A served stand-in, and a browser to visit it with."""

    base_url: str
    http: httpx.Client
    browser: Browser
    visits: list[Page] = field(default_factory=list)

    def room(self, name: str = "visit-1", **properties: object) -> str:
        """Make a private room for two, open for an hour."""
        wanted = {"exp": int(time.time()) + 3600, "max_participants": 2, "eject_at_room_exp": True}
        body = {"name": name, "privacy": "private", "properties": {**wanted, **properties}}
        self.http.post("/v1/rooms", json=body).raise_for_status()
        return name

    def token(self, room: str, user_name: str, **properties: object) -> str:
        """Issue a token for the room."""
        wanted = {"room_name": room, "user_name": user_name, "exp": int(time.time()) + 3600}
        body = {"properties": {**wanted, **properties}}
        return str(self.http.post("/v1/meeting-tokens", json=body).json()["token"])

    def visit(self, room: str, token: str | None, before: str | None = None) -> Page:
        """Open the room's page as somebody with a browser of their own."""
        page = self.browser.new_context(viewport={"width": 900, "height": 600}).new_page()
        self.visits.append(page)
        if before is not None:
            page.add_init_script(before)
        page.goto(f"{self.base_url}/{room}" + (f"?t={token}" if token else ""))
        return page

    def enter(self, room: str, user_name: str, **properties: object) -> Page:
        """Open the room's page with a token of one's own."""
        return self.visit(room, self.token(room, user_name, **properties))

    def people(self, room: str) -> int:
        """How many seats of the room are taken."""
        rooms: list[dict[str, Any]] = self.http.get("/control/requests").json()["rooms"]
        return next(int(found["people"]) for found in rooms if found["name"] == room)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.skip("NOT TESTED: the room page needs Chromium (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    server, base_url = bind(API_KEY, "stand-in")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield base_url
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def building(served: str, browser: Browser) -> Iterator[Building]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=served, headers=headers) as http:
        building = Building(served, http, browser)
        yield building
        for page in building.visits:
            page.context.close()
        http.post("/control/reset").raise_for_status()


def reaches(page: Page | Frame, state: str) -> None:
    page.wait_for_selector(f'body[data-state="{state}"]', timeout=PATIENCE)


def meet(*pages: Page | Frame) -> None:
    """Both are connected, and each receives a moving picture and the sound of the other."""
    for page in pages:
        reaches(page, "connected")
        page.wait_for_function(f"() => ({PICTURE})().width > 0", timeout=PATIENCE)
        page.wait_for_function(f"() => ({PICTURE})().heard", timeout=PATIENCE)
        first = page.evaluate(PICTURE)["at"]
        page.wait_for_function(f"(at) => ({PICTURE})().at > at + 0.2", arg=first, timeout=PATIENCE)


def until(true: Callable[[], bool], seconds: float) -> None:
    """Poll for something that is about to happen, and fail if it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def refusal(page: Page) -> tuple[str | None, str]:
    reaches(page, "refused")
    return page.get_attribute("body", "data-refusal"), page.inner_text("#notice-title")


def test_two_people_meet_and_each_sees_and_hears_the_other(building: Building) -> None:
    room = building.room()
    therapist = building.enter(room, "Dana Reyes", is_owner=True)
    reaches(therapist, "waiting")
    assert therapist.inner_text("#notice-title") == "Waiting for the other person"

    client = building.enter(room, "Cleo Park")

    meet(therapist, client)
    assert therapist.inner_text("#remote-name") == "Cleo Park"
    assert client.inner_text("#remote-name") == "Dana Reyes (host)"


def test_the_page_loads_nothing_from_elsewhere_and_reports_no_error(building: Building) -> None:
    room = building.room()
    asked: list[str] = []
    wrong: list[str] = []
    therapist, client = (building.visit(room, None) for _ in range(2))
    for page, name in ((therapist, "Dana Reyes"), (client, "Cleo Park")):
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{building.base_url}/{room}?t={building.token(room, name)}")

    meet(therapist, client)

    assert [url for url in asked if not url.startswith((building.base_url, "data:"))] == []
    assert wrong == []


def test_a_stranger_without_a_token_is_refused(building: Building) -> None:
    room = building.room()

    assert refusal(building.visit(room, None))[0] == "no_token"
    assert building.people(room) == 0


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ({"room_name": "visit-2"}, "other_room"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"nbf": 3_900_000_000, "exp": 4_000_000_000}, "not_yet_open"),
    ],
)
def test_a_token_that_does_not_fit_is_refused_with_its_reason(
    building: Building, token: dict[str, object], code: str
) -> None:
    room = building.room()

    assert refusal(building.enter(room, "Cleo Park", **token))[0] == code
    assert building.people(room) == 0


def test_a_room_that_is_not_open_yet_says_from_when(building: Building) -> None:
    opens_at = int(time.time()) + 7200
    room = building.room(nbf=opens_at, exp=opens_at + 1800)

    page = building.enter(room, "Cleo Park", exp=opens_at + 1800)

    assert refusal(page) == ("not_yet_open", "It is too early to come in.")
    assert page.inner_text("#notice-text").startswith("The room opens at ")


def test_a_room_that_does_not_exist_says_so(building: Building) -> None:
    assert refusal(building.enter("visit-9", "Cleo Park"))[0] == "no_room"


def test_a_third_person_is_refused_and_disturbs_nobody(building: Building) -> None:
    room = building.room()
    therapist = building.enter(room, "Dana Reyes", is_owner=True)
    client = building.enter(room, "Cleo Park")
    meet(therapist, client)

    assert refusal(building.enter(room, "Third Person"))[0] == "full"
    meet(therapist, client)


def test_leaving_frees_the_seat_and_the_next_person_is_met(building: Building) -> None:
    room = building.room()
    therapist = building.enter(room, "Dana Reyes", is_owner=True)
    client = building.enter(room, "Cleo Park")
    meet(therapist, client)

    client.click("#leave")

    reaches(client, "ended")
    until(lambda: building.people(room) == 1, seconds=AT_ONCE)
    reaches(therapist, "waiting")
    client.click("text=Join again")
    meet(therapist, client)


def test_closing_the_page_frees_the_seat_at_once(building: Building) -> None:
    room = building.room()
    page = building.enter(room, "Cleo Park")
    reaches(page, "waiting")
    assert building.people(room) == 1

    page.close(run_before_unload=True)

    until(lambda: building.people(room) == 0, seconds=AT_ONCE)


def test_reloading_the_page_meets_the_other_again(building: Building) -> None:
    room = building.room()
    therapist = building.enter(room, "Dana Reyes", is_owner=True)
    client = building.enter(room, "Cleo Park")
    meet(therapist, client)

    therapist.reload()

    meet(therapist, client)
    assert building.people(room) == 2


@pytest.mark.parametrize("first", ["the one with a camera", "the one without"])
def test_a_person_without_camera_and_microphone_still_sees_and_hears(
    building: Building, first: str
) -> None:
    room = building.room()
    seeing, unseen = ("Dana Reyes", None), ("Cleo Park", NO_DEVICES)
    order = [seeing, unseen] if first == "the one with a camera" else [unseen, seeing]
    pages = {}
    for name, script in order:
        pages[name] = building.visit(room, building.token(room, name), before=script)
        reaches(pages[name], "waiting" if len(pages) == 1 else "connected")

    meet(pages["Cleo Park"])
    reaches(pages["Dana Reyes"], "connected")
    assert pages["Cleo Park"].inner_text("#camera") == "No camera"
    assert pages["Cleo Park"].is_disabled("#mute")
    pages["Dana Reyes"].wait_for_selector('#remote[data-camera="off"]', timeout=PATIENCE)


def test_muting_and_turning_the_camera_off_shows_on_the_other_side(building: Building) -> None:
    room = building.room()
    therapist = building.enter(room, "Dana Reyes", is_owner=True)
    client = building.enter(room, "Cleo Park")
    meet(therapist, client)

    client.click("#mute")
    client.click("#camera")

    therapist.wait_for_selector("#remote-muted", state="visible", timeout=PATIENCE)
    therapist.wait_for_selector('#remote[data-camera="off"]', timeout=PATIENCE)
    assert therapist.inner_text("#remote-initials") == "CP"
    client.click("#camera")
    therapist.wait_for_selector('#remote[data-camera="on"]', timeout=PATIENCE)
    assert client.get_attribute("#mute", "aria-pressed") == "true"


def test_the_call_ends_for_both_when_the_room_does(building: Building) -> None:
    room = building.room()
    therapist = building.enter(room, "Dana Reyes", is_owner=True)
    client = building.enter(room, "Cleo Park")
    meet(therapist, client)

    soon = {"properties": {"exp": int(time.time()) + 1}}
    building.http.post(f"/v1/rooms/{room}", json=soon).raise_for_status()

    for page in (therapist, client):
        reaches(page, "ended")
        assert page.get_attribute("body", "data-ending") == "over"
        assert page.inner_text("#notice-title") == "The session has ended"


def test_a_camera_allowed_after_the_call_has_ended_is_turned_off_again(
    building: Building,
) -> None:
    room = building.room()
    page = building.visit(room, building.token(room, "Cleo Park"), before=SLOW_PERMISSION)
    page.wait_for_function("() => window.allow", timeout=PATIENCE)
    building.http.delete(f"/v1/rooms/{room}").raise_for_status()
    reaches(page, "ended")

    page.evaluate("window.allow()")

    page.wait_for_function(
        "() => window.granted?.getTracks().every((track) => track.readyState === 'ended')",
        timeout=PATIENCE,
    )
    reaches(page, "ended")


def test_a_name_is_shown_as_text_whatever_it_holds(building: Building) -> None:
    room = building.room()
    name = "<img src=x onerror=alert(1)> & co"
    therapist = building.enter(room, "Dana Reyes", is_owner=True)
    building.enter(room, name)

    reaches(therapist, "connected")

    assert therapist.inner_text("#remote-name") == name
    assert therapist.query_selector("#remote img") is None


def test_the_room_works_inside_a_frame_of_another_page(building: Building) -> None:
    room = building.room()
    inside = f"{building.base_url}/{room}?t={building.token(room, 'Cleo Park')}"

    class Outer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<iframe src="{inside}" allow="camera; microphone">'.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Outer) as outer:
        threading.Thread(target=outer.serve_forever, daemon=True).start()
        page = building.browser.new_context().new_page()
        building.visits.append(page)
        page.goto(f"http://127.0.0.1:{outer.server_address[1]}/")
        frame = next(frame for frame in page.frames if frame.url.startswith(building.base_url))
        reaches(frame, "waiting")
        therapist = building.enter(room, "Dana Reyes", is_owner=True)
        meet(frame, therapist)
        outer.shutdown()
