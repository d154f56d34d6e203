"""Take the pictures of docs/screens.md from a running stack with data of its own."""

import base64
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx
from playwright.sync_api import Browser, Page, Route, sync_playwright

from scripts import ROOT, CommandError
from scripts.develop.browser import find
from scripts.local.stack import Stack

PICTURES = ROOT / "docs" / "screens"
CREATE = "/therapist/dashboard/create-session"
SESSIONS = "/therapist/dashboard/client-sessions"
THERAPY = "/dashboard/therapy"
_FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
_IDS = {
    name: f"00000000-0000-4000-8000-0000000000{number}"
    for name, number in {"ada": 11, "ben": 12, "cleo": 13, "dan": 14}.items()
}


@dataclass
class Studio:
    """A running stack, a browser, and the demo's people."""

    stack: Stack
    browser: Browser

    def call(self, who: str, path: str, body: Any = None) -> Any:
        """Call the API as a person, without the browser."""
        answer = httpx.post(
            f"{self.stack.api_url}/api{path}",
            json=body or {},
            headers={"Authorization": f"Bearer {self._token(who)}"},
        )
        return answer.raise_for_status().json()["data"]

    def propose(self, therapist: str, client: str, **proposal: Any) -> Any:
        """Propose a session."""
        body = {"patient_id": _IDS[client], **proposal}
        return self.call(therapist, "/therapist/create-custom-session", body)["session"]

    def approve(self, client: str, session: Any) -> None:
        """Approve a session."""
        self.call(client, "/sessions/approve", {"session_id": session["id"]})

    def visit(
        self, who: str | None, path: str, *, width: int = 1100, dark: bool = False, lang: str = "en"
    ) -> Page:
        """Open a page as a person, or signed out."""
        context = self.browser.new_context(
            base_url=self.stack.api_url,
            viewport={"width": width, "height": 760},
            locale="de-DE" if lang == "de" else "en-GB",
            timezone_id="Europe/London",
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        if who:
            kept = {"token": self._token(who), "person": who.capitalize()}
            for name, value in kept.items():
                context.add_init_script(
                    f"sessionStorage.setItem('session-approval-{name}', '{value}')"
                )
        page = context.new_page()
        if lang != "en":
            page.route(f"**{path}", lambda route: _speak(route, lang))
        page.goto(path)
        if not path.startswith("/video-session"):  # a meeting is never idle
            page.wait_for_load_state("networkidle")
        return page

    def _token(self, who: str) -> str:
        answer = httpx.post(
            f"{self.stack.api_url}/sign-in/token", json={"email": f"{who}@example.org"}
        )
        return str(answer.raise_for_status().json()["access_token"])


def _speak(route: Route, lang: str) -> None:
    page = route.fetch()
    route.fulfill(response=page, body=page.text().replace('lang="en"', f'lang="{lang}"', 1))


def shoot(page: Page, name: str, *, whole: bool = True) -> None:
    """Take a picture: of the whole page, or of the window, where a dialog is in its middle."""
    page.wait_for_timeout(250)
    top, bottom = page.evaluate(
        "[scrollY, Math.ceil(document.querySelector('main').getBoundingClientRect().bottom)]"
    )
    size = page.viewport_size or {"width": 0, "height": 0}
    part = {"y": 0, "height": top + bottom} if whole else {"y": top, "height": size["height"]}
    picture = page.context.new_cdp_session(page).send(
        "Page.captureScreenshot",
        {
            "format": "webp",
            "quality": 80,
            "captureBeyondViewport": whole,
            "clip": {"x": 0, "width": size["width"], "scale": 1, **part},
        },
    )
    (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(picture["data"]))
    print(f"  {name}", flush=True)


def _soon(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


def _at(days: int, clock: str) -> str:
    return f"{(datetime.now(UTC) + timedelta(days=days)).date()}T{clock}:00Z"


def client_screens(studio: Studio) -> None:
    """Ada answers requests, from the first look to the cancellation; Dan has no credits."""
    note = "Before the holidays, as you asked.\nBring the list, please."
    studio.propose(
        "tara", "ada", start_time=_at(3, "15:30"), title="Check-in after the move", notes=note
    )
    instant = studio.propose("tom", "ada", is_instant=True, title="A quick word")
    page = studio.visit("ada", THERAPY)
    shoot(page, "client-requests")
    shoot(studio.visit("ada", THERAPY, width=360, dark=True), "client-requests-phone-dark")
    shoot(studio.visit("ada", THERAPY, lang="de"), "client-requests-german")

    page.get_by_role("button", name="Decline…").last.click()
    shoot(page, "client-decline", whole=False)
    page.keyboard.press("Escape")

    approve = page.get_by_role("button", name="Approve Session")
    page.route("**/api/sessions/approve", lambda route: route.abort(), times=1)
    approve.click()
    page.get_by_text("Trying again is safe").wait_for()
    shoot(page, "client-connection-lost")
    busy = studio.propose("tara", "ben", is_instant=True, title="Right now", duration_minutes=30)
    studio.approve("ben", busy)
    with_tara = studio.propose("tara", "ada", is_instant=True, title="Now, if you can")
    page.get_by_role("heading", name="Now, if you can").wait_for()
    card = page.get_by_role("listitem").filter(has_text="Now, if you can")
    card.get_by_role("button", name="Approve & Join Now").click()
    page.get_by_text("One of you is in another session").wait_for()
    shoot(page, "client-time-taken")
    studio.call("tara", f"/sessions/{with_tara['id']}/cancel")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("Session approved: ").wait_for()
    studio.call("tom", f"/sessions/{instant['id']}/cancel")
    page.get_by_text("Tom Lindqvist has withdrawn this request.", exact=True).wait_for()
    shoot(page, "client-approved-and-withdrawn")

    page.get_by_role("button", name="Cancel…").click()
    shoot(page, "client-cancel", whole=False)

    studio.propose("tom", "dan", start_time=_at(4, "18:00"), title="First session")
    page = studio.visit("dan", THERAPY)
    page.get_by_role("button", name="Approve Session").click()
    page.get_by_text("You need 1 credit").wait_for()
    shoot(page, "client-no-credits")


def therapist_screens(studio: Studio) -> None:
    """Tara proposes, meets a taken time, and looks at her sessions."""
    page = studio.visit("tara", CREATE)
    page.get_by_role("searchbox", name="Client").fill("dan")
    page.keyboard.press("Enter")
    page.get_by_role("radio", name="Custom").check()
    page.get_by_label("Date").fill(_at(3, "")[:10])
    page.get_by_label("Start", exact=True).fill("15:15")
    page.get_by_label("Title", exact=True).fill("Looking ahead")
    shoot(page, "therapist-proposal")
    page.get_by_role("button", name="Send request").click()
    notice = page.get_by_text("That time is taken:").locator("..")
    notice.wait_for()
    shoot(page, "therapist-time-taken")
    notice.get_by_role("button").last.click()
    page.get_by_role("heading", name="Request sent to").wait_for()
    shoot(page, "therapist-request-sent")

    page = studio.visit("tara", CREATE)
    page.get_by_role("button", name="Send request").click()
    shoot(page, "therapist-what-is-missing")

    page = studio.visit("tara", SESSIONS)
    shoot(page, "therapist-sessions")
    page.get_by_role("button", name="Withdraw…").click()
    shoot(page, "therapist-withdraw", whole=False)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Finish…").click()
    shoot(page, "therapist-finish", whole=False)
    page.keyboard.press("Escape")
    page.get_by_role("region", name="Upcoming").get_by_role("button", name="Details").last.click()
    shoot(page, "therapist-details", whole=False)


def meeting_screens(studio: Studio) -> None:
    """A person who comes too early waits; one in time is let in; one not signed in is told so."""
    early = studio.propose("tom", "cleo", start_time=_soon(minutes=14), title="In a moment")
    page = studio.visit("tom", f"/video-session/{early['id']}")
    page.get_by_text("Waiting for the client's approval.").wait_for()
    shoot(page, "video-not-approved")
    ada = studio.propose("tom", "ada", start_time=_soon(minutes=46), title="In an hour")
    studio.approve("ada", ada)
    page = studio.visit("ada", f"/video-session/{ada['id']}")
    page.get_by_role("timer").filter(has_text=":").wait_for()
    shoot(page, "video-too-early")
    [now] = [
        each
        for each in httpx.get(
            f"{studio.stack.api_url}/api/sessions?upcoming=true",
            headers={"Authorization": f"Bearer {studio._token('ben')}"},
        ).json()["sessions"]
        if each["is_instant"]
    ]
    pages = [studio.visit(who, f"/video-session/{now['id']}") for who in ("ben", "tara")]
    pages[1].locator("iframe").content_frame.locator("body[data-state=connected]").wait_for()
    pages[1].wait_for_timeout(1500)
    shoot(pages[1], "video-room", whole=False)
    shoot(studio.visit(None, THERAPY), "signed-out")
    shoot(studio.visit(None, "/ui/demo", width=1440), "demo")


SERIES: list[Callable[[Studio], None]] = [client_screens, therapist_screens, meeting_screens]


@click.command(help=__doc__)
def main() -> None:
    """Start a stack in a folder of its own, and take every picture again."""
    program = find()
    if program is None:
        raise CommandError("The pictures need Chromium (Debian: apt-get install chromium)")
    folder = Path(tempfile.mkdtemp(prefix="sa-", dir="/tmp"))
    try:
        with Stack(folder / "run") as stack, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
            shutil.rmtree(PICTURES, ignore_errors=True)
            PICTURES.mkdir(parents=True)
            for series in SERIES:
                series(Studio(stack, browser))
            browser.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    size = sum(picture.stat().st_size for picture in PICTURES.iterdir())
    print(f"{len(list(PICTURES.iterdir()))} pictures, {size / 1000:.0f} kB, in {PICTURES}")
