"""Rooms on a Jitsi server: secret addresses, and tokens if the server checks them."""

import re
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest

from api.config import Settings, load_settings
from api.video import provider
from api.video.jitsi import Jitsi
from tests.actors import Connection, Person, give_credits
from tests.api.conftest import Api, assert_refused

APP_SECRET = "what the Jitsi server knows too, and nobody else"
NAME = "s-0123456789abcdef0123456789abcdef"
ROOM = {"name": NAME, "opens_at": None, "closes_at": 4_000_000_000, "max_participants": 2}
PERSON = {"room_name": NAME, "user_id": "7d4c1d9e", "user_name": "Ada", "is_owner": True}


def jitsi(**environ: str) -> Jitsi:
    settings = load_settings(
        {
            "SUPABASE_URL": "http://127.0.0.1:9",
            "SUPABASE_PUBLISHABLE_KEY": "not-used-here",
            "VIDEO_PROVIDER": "jitsi",
            "JITSI_URL": "https://meet.example.org/",
            "JITSI_APP_SECRET": APP_SECRET,
            **environ,
        }
    )
    rooms = provider(settings)
    assert isinstance(rooms, Jitsi)
    return rooms


@pytest.fixture
def jitsi_settings(settings: Settings) -> Settings:
    """An installation with a Jitsi server that checks tokens, and no Daily."""
    return replace(
        settings,
        daily_api_key=None,
        video_provider="jitsi",
        jitsi_url="https://meet.example.org",
        jitsi_app_id="sessions",
        jitsi_app_secret=APP_SECRET,
    )


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims that a Jitsi server reads in a token."""
    claims: dict[str, Any] = jwt.decode(
        token, APP_SECRET, ["HS256"], audience="jitsi", options={"verify_nbf": False}
    )
    return claims


def test_a_session_always_has_the_same_address() -> None:
    room = jitsi().ensure(ROOM)

    assert room == jitsi().ensure({**ROOM, "closes_at": 4_100_000_000}) == jitsi().get(NAME)
    assert room.url == f"https://meet.example.org/{room.name}"


def test_an_address_cannot_be_guessed_from_the_session() -> None:
    rooms = [jitsi().ensure(ROOM), jitsi(JITSI_APP_SECRET=APP_SECRET[::-1]).ensure(ROOM)]
    other = jitsi().ensure({**ROOM, "name": NAME[::-1]})

    assert len({room.name for room in (*rooms, other)}) == 3
    assert NAME.removeprefix("s-") not in "".join(room.url for room in rooms)
    assert re.fullmatch("s-[0-9a-f]{32}", rooms[0].name)


def test_jitsi_has_no_rooms_to_delete_or_list() -> None:
    assert jitsi().delete(NAME) is True
    assert jitsi().standing() is None


def test_there_is_no_token_without_an_application_id() -> None:
    assert jitsi().token({**PERSON, "opens_at": None, "expires_at": 4_000_000_000}) == ""


@pytest.mark.parametrize("is_owner", [True, False])
def test_a_token_is_for_one_room_one_person_and_their_time(is_owner: bool) -> None:
    rooms = jitsi(JITSI_APP_ID="sessions")
    times = {"opens_at": 3_900_000_000, "expires_at": 4_000_000_000}

    token = rooms.token({**PERSON, **times, "is_owner": is_owner})

    assert claims_of(token) == {
        "aud": "jitsi",
        "iss": "sessions",
        "sub": "*",
        "room": rooms.ensure(ROOM).name,
        "nbf": 3_900_000_000,
        "exp": 4_000_000_000,
        "context": {
            "user": {
                "id": "7d4c1d9e",
                "name": "Ada",
                "affiliation": "owner" if is_owner else "member",
                "moderator": "true" if is_owner else "false",
            }
        },
    }
    assert "nbf" not in claims_of(rooms.token({**PERSON, **times, "opens_at": None}))


def test_an_instant_session_is_proposed_approved_and_joined_on_jitsi(
    jitsi_settings: Settings, db: Connection, daily: str, therapist: Person, client: Person
) -> None:
    api = Api(jitsi_settings)
    give_credits(db, client)
    session = api.propose(therapist, client, is_instant=True)
    early = api.post(f"/api/sessions/{session['id']}/join", client)
    assert_refused(early, 409, "SESSION_NOT_APPROVED")

    room = api.approve(client, session).json["room"]

    assert room["url"].startswith("https://meet.example.org/s-")
    assert session["id"].replace("-", "") not in room["url"]
    for person, affiliation in ((therapist, "owner"), (client, "member")):
        joined = api.post(f"/api/sessions/{session['id']}/join", person).json
        assert (joined["room_url"], joined["room_name"]) == (room["url"], room["name"])
        assert joined["join_url"] == f"{room['url']}?jwt={joined['meeting_token']}"
        claims = claims_of(joined["meeting_token"])
        assert claims["room"] == room["name"]
        assert claims["context"]["user"]["id"] == str(person.id)
        assert claims["context"]["user"]["affiliation"] == affiliation
    assert api.post(f"/api/sessions/{session['id']}/finish", therapist).status_code == 200
    assert httpx.get(f"{daily}/control/requests", timeout=5).json()["counts"] == {}


def test_joining_without_tokens_gives_the_bare_address(
    jitsi_settings: Settings, db: Connection, therapist: Person, client: Person
) -> None:
    api = Api(replace(jitsi_settings, jitsi_app_id=None))
    give_credits(db, client)
    session = api.propose(therapist, client, is_instant=True)
    room = api.approve(client, session).json["room"]

    joined = api.post(f"/api/sessions/{session['id']}/join", client).json

    assert joined["room_url"] == joined["join_url"] == room["url"]
    assert joined["meeting_token"] == ""
