"""The whole product running, and people who look at it in browsers of their own."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Route,
    expect,
    sync_playwright,
)

from scripts.develop.browser import find
from scripts.local.stack import Stack
from tests import actors
from tests.actors import Connection, Person, Row

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]

expect.set_options(timeout=10_000)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Everything that make run starts, with data of its own that is thrown away."""
    # Not pytest's folder: a Unix socket's path may have 103 bytes.
    folder = Path(tempfile.mkdtemp(prefix="sa-", dir="/tmp"))
    try:
        with Stack(folder / "run") as stack:
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser; a module's own, since Playwright runs once at a time."""
    program = find()
    if program is None:
        missing = "NOT TESTED: the screens need Chromium (Debian: apt-get install chromium)"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def db(stack: Stack) -> Iterator[Connection]:
    """A connection to the running product's database, as its owner."""
    with actors.connect(stack.database_url) as connection:
        yield connection


@pytest.fixture
def therapist(db: Connection) -> Person:
    """A therapist."""
    return actors.add_person(db, "therapist", "Dr Edda Stern")


@pytest.fixture
def client(db: Connection) -> Person:
    """A client with three credits."""
    person = actors.add_person(db, "individual", "Nia Fox")
    actors.give_credits(db, person, 3)
    return person


@dataclass
class Api:
    """The API, as a script uses it: for what a test needs to have happened before it begins."""

    http: httpx.Client

    def token(self, person: Person) -> str:
        """Sign a person in."""
        answer = self.http.post("/sign-in/token", json={"email": person.email})
        return str(answer.raise_for_status().json()["access_token"])

    def call(self, person: Person, method: str, path: str, body: Any = None) -> Row:
        """Make a call that must succeed, and return its data."""
        headers = {"Authorization": f"Bearer {self.token(person)}"}
        answer = self.http.request(method, f"/api{path}", json=body, headers=headers)
        data: Row = answer.raise_for_status().json()["data"]
        return data

    def propose(self, therapist: Person, client: Person, **proposal: Any) -> Row:
        """Propose a session."""
        body = {"patient_id": str(client.id), **proposal}
        session: Row = self.call(therapist, "POST", "/therapist/create-custom-session", body)[
            "session"
        ]
        return session

    def approve(self, client: Person, session: Row) -> None:
        """Approve a session."""
        self.call(client, "POST", "/sessions/approve", {"session_id": session["id"]})


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """The running product's API."""
    with httpx.Client(base_url=stack.api_url) as http:
        yield Api(http)


@dataclass
class Visit:
    """A person at a page in a browser of their own, and everything that went wrong there."""

    page: Page
    token: str
    addresses: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    approvals: list[UUID] = field(default_factory=list)

    def watch(self) -> None:
        """Note every address asked for, every error and every approval sent."""
        self.page.context.on("request", lambda request: self.addresses.append(request.url))
        self.page.on("framenavigated", lambda frame: self.addresses.append(frame.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._sent)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _sent(self, request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/api/sessions/approve"):
            self.approvals.append(UUID(request.post_data_json["session_id"]))


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(chromium: Browser, stack: Stack, api: Api) -> Iterator[Visitor]:
    """Open a page as somebody whose tab has their token; expected: refusals that are to be met.

    Afterwards no page may have logged an error, a violation of its policy included, nor asked for
    an address with an access token in it.
    """
    visits: list[tuple[Visit, tuple[int | str, ...]]] = []

    def open_page(
        person: Person | None, path: str, *expected: int | str, width: int = 1280
    ) -> Visit:
        context = chromium.new_context(
            base_url=stack.api_url,
            viewport={"width": width, "height": 900},
            locale="en-GB",
            timezone_id="Europe/London",
        )
        context.clock.install()  # so that a test can have time pass
        token = api.token(person) if person else "signed out"
        if person:
            keep = f"sessionStorage.setItem('session-approval-token', '{token}')"
            context.add_init_script(f"if (location.origin === '{stack.api_url}') {keep}")
        visit = Visit(context.new_page(), token)
        visit.watch()
        visits.append((visit, expected))
        visit.page.goto(path)
        return visit

    yield open_page

    for visit, expected in visits:
        visit.page.context.close()
        assert not [address for address in visit.addresses if visit.token in address]
        assert not [text for text in visit.complaints if not _is_expected(text, expected)]


def _is_expected(complaint: str, expected: tuple[int | str, ...]) -> bool:
    """Chromium logs every answer from 400 on, and every request that got none."""
    found = re.match(r"Failed to load resource: .*?(\d{3}|net::\w+)", complaint)
    return found is not None and found[1] in {str(each) for each in expected}


def later(page: Page, seconds: int = 5) -> None:
    """Have time pass, and with it whatever the page does every so often."""
    page.clock.run_for(seconds * 1000)


def lose_answer(route: Route) -> None:
    """Let a request reach the server, and lose the answer on the way back."""
    route.fetch()
    route.abort()
