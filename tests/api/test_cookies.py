"""Sign-in by cookie: off by default, and of no use to pages of other origins."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import jwt
import pytest
from werkzeug.test import TestResponse

from api.config import ConfigurationError, Settings, load_settings
from tests.actors import Connection, Person, give_credits
from tests.api.conftest import ISSUER, SECRET, Api, assert_refused, token_of
from tests.api.test_token_attacks import EC, RSA, Server, b64, sign

FRONTEND = "https://app.example.org"
SAME = {"Sec-Fetch-Site": "same-origin"}
LISTED = {"Origin": FRONTEND, "Sec-Fetch-Site": "same-site"}
SUPABASE = "sb-supabase-auth-token"
SESSION_SECRET = "what the frontend signs its people's sessions with, long enough for HS512 too"
MONTH = 30 * 24 * 3600


@pytest.fixture
def supabase_cookies(environment: dict[str, str]) -> Settings:
    """An installation beside a frontend that uses @supabase/ssr."""
    return load_settings({**environment, "COOKIE_AUTH": "supabase", "ALLOWED_ORIGINS": FRONTEND})


@pytest.fixture
def own_sessions(environment: dict[str, str]) -> Settings:
    """An installation beside a frontend that signs people in itself."""
    return load_settings(
        {
            **environment,
            "COOKIE_AUTH": "session",
            "COOKIE_NAME": "__Host-session",
            "COOKIE_SECRET": SESSION_SECRET,
            "COOKIE_USER_CLAIM": "user.id",
            "ALLOWED_ORIGINS": FRONTEND,
        }
    )


def ssr(token: Any, name: str = SUPABASE, size: int = 3180) -> dict[str, str]:
    """Return the cookies that @supabase/ssr sets for a token, in as many parts as it takes."""
    session = {"access_token": token, "token_type": "bearer", "refresh_token": "r", "user": {}}
    return parts("base64-" + b64(json.dumps(session).encode()), name, size)


def parts(value: str, name: str = SUPABASE, size: int = 3180) -> dict[str, str]:
    """Cut a cookie as @supabase/ssr does."""
    cut = [value[start : start + size] for start in range(0, len(value), size)]
    return {name: value} if len(cut) == 1 else {f"{name}.{n}": part for n, part in enumerate(cut)}


def session(person: Any, secret: Any = SESSION_SECRET, alg: str = "HS256", **claims: Any) -> str:
    """Return a frontend's session, as it stands in its cookie."""
    now = int(time.time())
    good = {"user": {"id": str(getattr(person, "id", person))}, "iat": now, "exp": now + MONTH}
    return jwt.encode({**good, **claims}, secret, alg)


def decline(api: Api, cookies: dict[str, str] | str, **headers: str) -> TestResponse:
    """Decline a session that does not exist, with these cookies and headers."""
    text = cookies if isinstance(cookies, str) else "; ".join(map("=".join, cookies.items()))
    return api.http.post(
        f"/api/sessions/{uuid4()}/decline", json={}, headers={"Cookie": text, **headers}
    )


# Good cookies.


@pytest.mark.parametrize("size", [3180, 200])
def test_supabases_cookie_signs_its_person_in_whole_or_in_parts(
    supabase_cookies: Settings, db: Connection, therapist: Person, client: Person, size: int
) -> None:
    api = Api(supabase_cookies)
    give_credits(db, client)
    proposed = api.propose(therapist, client)
    cookies = "; ".join(map("=".join, ssr(token_of(client), size=size).items()))
    assert (".0=" in cookies) == (size == 200)

    credits = api.http.get("/api/credits/user", headers={"Cookie": cookies})
    approved = api.http.post(
        "/api/sessions/approve",
        json={"session_id": proposed["id"]},
        headers={"Cookie": cookies, **LISTED},
    )

    assert credits.json["credits_balance"] == 1
    assert approved.json["session"]["credits_balance_after"] == 0


def test_a_frontends_session_is_exchanged_for_a_token_that_lives_minutes(
    own_sessions: Settings, therapist: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(own_sessions)
    supabase = api.http.application.extensions["supabase"]
    tokens: list[str] = []
    call = supabase.call

    def recording(token: str, *arguments: Any) -> Any:
        tokens.append(token)
        return call(token, *arguments)

    monkeypatch.setattr(supabase, "call", recording)
    cookie = f"__Host-session={session(therapist)}"

    answer = api.http.get("/api/therapist/clients", headers={"Cookie": cookie})

    assert answer.status_code == 200
    [token] = tokens
    claims = jwt.decode(token, SECRET, ["HS256"], audience="authenticated", issuer=ISSUER)
    assert claims["sub"] == str(therapist.id)
    assert claims["role"] == "authenticated"
    assert 60 <= claims["exp"] - time.time() <= 300
    assert "aal" not in claims


def test_an_expired_session_is_401(own_sessions: Settings, client: Person) -> None:
    api = Api(own_sessions)
    expired = session(client, exp=int(time.time()) - 11)
    assert_refused(decline(api, {"__Host-session": expired}, **SAME), 401, "AUTHENTICATION_ERROR")


def test_a_session_may_have_a_sub_that_is_not_the_persons_id(
    own_sessions: Settings, client: Person
) -> None:
    cookie = f"__Host-session={session(client, sub=7)}"

    answer = Api(own_sessions).http.get("/api/credits/user", headers={"Cookie": cookie})

    assert answer.status_code == 200, answer.text


def test_a_session_that_has_just_expired_passes_because_clocks_differ(
    own_sessions: Settings, client: Person
) -> None:
    cookie = f"__Host-session={session(client, exp=int(time.time()) - 1)}"

    answer = Api(own_sessions).http.get("/api/credits/user", headers={"Cookie": cookie})

    assert answer.status_code == 200, answer.text


def test_a_session_never_counts_as_a_second_factor(
    own_sessions: Settings, therapist: Person
) -> None:
    api = Api(replace(own_sessions, therapist_aal="aal2"))
    cookie = f"__Host-session={session(therapist, aal='aal2')}"
    answer = api.http.get("/api/therapist/clients", headers={"Cookie": cookie})
    assert assert_refused(answer, 403, "AUTHORIZATION_ERROR") == {"required_aal": "aal2"}


def test_cookies_do_not_count_by_default(api: Api, client: Person) -> None:
    for cookies in (ssr(token_of(client)), {"session": session(client)}):
        assert_refused(decline(api, cookies, **SAME), 401, "AUTHENTICATION_ERROR")


@pytest.mark.parametrize("kind", ["supabase_cookies", "own_sessions"])
def test_a_cookie_does_not_count_beside_an_authorization_header(
    kind: str, client: Person, stranger: Person, db: Connection, request: pytest.FixtureRequest
) -> None:
    api = Api(request.getfixturevalue(kind))
    good = (
        ssr(token_of(client)) if kind == "supabase_cookies" else {"__Host-session": session(client)}
    )
    for header in ("Bearer x.y.z", "Bearer ", "", "Basic eDp5", "null"):
        answer = decline(api, good, Authorization=header, **SAME)
        assert_refused(answer, 401, "AUTHENTICATION_ERROR")
    give_credits(db, stranger, 3)
    # With a good header neither the cookie's person nor the rules for cookies count.
    cookie = "; ".join(map("=".join, good.items()))
    as_stranger = {"Cookie": cookie, "Authorization": f"Bearer {token_of(stranger)}"}
    answer = api.http.get("/api/credits/user", headers=as_stranger)
    assert answer.json["credits_balance"] == 3
    as_stranger["Origin"] = "https://evil.test"
    answer = api.http.post(f"/api/sessions/{uuid4()}/decline", json={}, headers=as_stranger)
    assert_refused(answer, 404, "SESSION_NOT_FOUND")


# Pages of other origins, whose requests the browser sends with this person's cookie.

ELSEWHERE: dict[str, dict[str, str]] = {
    "does not say where it comes from": {},
    "of another origin": {"Origin": "https://evil.test"},
    "of another origin, on another site": {
        "Origin": "https://evil.test",
        "Sec-Fetch-Site": "cross-site",
    },
    "of another origin, on this site": {
        "Origin": "https://blog.example.org",
        "Sec-Fetch-Site": "same-site",
    },
    "listed, but on another site: SameSite=Lax sends no cookie": {
        "Origin": FRONTEND,
        "Sec-Fetch-Site": "cross-site",
    },
    "in a sandbox": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "in an old browser's sandbox": {"Origin": "null"},
    "a lookalike": {"Origin": f"{FRONTEND}.evil.test"},
    "without TLS": {"Origin": FRONTEND.replace("https", "http")},
    "with only a referrer": {"Referer": f"{FRONTEND}/page"},
    "typed in": {"Sec-Fetch-Site": "none"},
    "two origins in one": {"Origin": f"{FRONTEND}, https://evil.test"},
    "in other letters": {"Origin": FRONTEND.upper()},
}


@pytest.fixture(scope="module", params=["supabase", "session"])
def counted(request: pytest.FixtureRequest) -> Iterator[tuple[Api, Server, str]]:
    """An API with one kind of cookie, whose Supabase records its calls."""
    server = Server()
    environment = {
        "SUPABASE_URL": "http://supabase.test",
        "SUPABASE_REST_URL": server.url,
        "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_test",
        "SUPABASE_JWT_SECRET": SECRET,
        "COOKIE_AUTH": request.param,
        "COOKIE_SECRET": SESSION_SECRET,
        "COOKIE_USER_CLAIM": "user.id",
        "ALLOWED_ORIGINS": FRONTEND,
    }
    yield Api(load_settings(environment)), server, request.param
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def guarded(counted: tuple[Api, Server, str]) -> tuple[Api, Server, dict[str, str]]:
    """That API, its Supabase without calls so far, and a good cookie."""
    api, server, kind = counted
    server.calls.clear()
    good = ssr(access_token()) if kind == "supabase" else {"session": session(uuid4())}
    return api, server, good


def access_token(secret: Any = SECRET, alg: str = "HS256", **claims: Any) -> str:
    """Return a good access token with changes."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": "authenticated", "role": "authenticated", "sub": str(uuid4())}
    return jwt.encode({**good, "iat": now, "exp": now + 600, **claims}, secret, alg)


@pytest.mark.parametrize("page", ELSEWHERE)
def test_a_write_from_a_page_of_another_origin_is_refused(
    guarded: tuple[Api, Server, dict[str, str]], page: str
) -> None:
    api, server, good = guarded
    assert_refused(decline(api, good, **ELSEWHERE[page]), 403, "ORIGIN_NOT_ALLOWED")
    assert server.calls == []


@pytest.mark.parametrize("form", ["text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("body", [b'{"x":1}', b""])
def test_a_form_is_refused_even_from_a_listed_page(
    guarded: tuple[Api, Server, dict[str, str]], form: str, body: bytes
) -> None:
    api, server, good = guarded
    cookie = "; ".join(map("=".join, good.items()))
    for path in (f"/api/sessions/{uuid4()}/join", "/api/sessions/approve"):
        answer = api.http.post(
            path, data=body, content_type=form, headers={"Cookie": cookie, **LISTED}
        )
        assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert server.calls == []


def test_a_good_cookie_passes_from_every_allowed_origin(
    guarded: tuple[Api, Server, dict[str, str]],
) -> None:
    api, server, good = guarded
    cookie = "; ".join(map("=".join, good.items()))
    for headers in (SAME, LISTED, {"Origin": FRONTEND}):
        api.http.post(f"/api/sessions/{uuid4()}/join", headers={"Cookie": cookie, **headers})
    assert server.calls == ["/rpc/join_session"] * 3


def test_only_listed_origins_may_send_cookies(
    guarded: tuple[Api, Server, dict[str, str]],
) -> None:
    api, _, _ = guarded
    asking = {"Access-Control-Request-Method": "POST"}
    listed = api.http.options("/api/sessions/approve", headers={"Origin": FRONTEND, **asking})
    assert listed.headers["Access-Control-Allow-Credentials"] == "true"
    assert listed.headers["Access-Control-Allow-Origin"] == FRONTEND
    other = api.http.options(
        "/api/sessions/approve", headers={"Origin": "https://evil.test", **asking}
    )
    assert not [name for name, _ in other.headers if name.startswith("Access-Control-")]


# Bad cookies.


def cut(drop: Callable[[dict[str, str]], None]) -> dict[str, str]:
    """Return a good cookie in many parts, with a change."""
    cookies = ssr(access_token(), size=120)
    assert len(cookies) > 4
    drop(cookies)
    return cookies


def in_parts(number: int) -> dict[str, str]:
    """Return a good cookie in so many parts."""
    [cookie] = ssr(access_token()).values()
    cookies = parts(cookie, size=-(-len(cookie) // number))
    assert len(cookies) == number
    return cookies


def raw(value: bytes | str) -> dict[str, str]:
    """Return Supabase's cookie with any content."""
    return {SUPABASE: "base64-" + b64(value.encode() if isinstance(value, str) else value)}


def of_length(least: int) -> dict[str, str]:
    """Return a cookie with a good token in it, of this length or a few letters more."""
    token, size = access_token(), 11_000
    while (
        len(cookie := raw(json.dumps({"access_token": token, "x": "x" * size}))[SUPABASE]) < least
    ):
        size += 1
    return parts(cookie)


@pytest.mark.parametrize("most", [lambda: of_length(16 * 1024 - 1), lambda: in_parts(8)])
def test_supabases_cookie_may_have_16_kib_and_eight_parts(
    supabase_cookies: Settings, most: Callable[[], dict[str, str]]
) -> None:
    answer = decline(Api(supabase_cookies), most(), **LISTED)

    # The call was made; the database knows no such person.
    assert_refused(answer, 403, "AUTHORIZATION_ERROR")


PUBLIC = RSA.public_key()
FORGED: dict[str, Callable[[], dict[str, str] | str]] = {
    "the first part is missing": lambda: cut(lambda c: c.pop(f"{SUPABASE}.0") and None),
    "a part is missing": lambda: cut(lambda c: c.pop(f"{SUPABASE}.2") and None),
    "a part is missing that may have been empty": lambda: {
        f"{SUPABASE}.0": ssr(access_token())[SUPABASE],
        f"{SUPABASE}.2": "",
    },
    "the last part is missing": lambda: cut(lambda c: c.popitem() and None),
    "a part stands twice": lambda: cut(lambda c: c.update({f"{SUPABASE}.1": c[f"{SUPABASE}.0"]})),
    "a part is set twice": lambda: "; ".join(
        [f"{SUPABASE}.1=x", *map("=".join, ssr(access_token(), size=120).items())]
    ),
    "two of one name": lambda: "; ".join(
        f"{SUPABASE}={value}" for _ in range(2) for value in ssr(access_token()).values()
    ),
    "forged": lambda: ssr(access_token("a secret of somebody else's, which is long enough")),
    "expired": lambda: ssr(access_token(exp=int(time.time()) - 11)),
    "not valid yet": lambda: ssr(access_token(nbf=int(time.time()) + 60)),
    "a service's": lambda: ssr(access_token(role="service_role")),
    "unsigned": lambda: ssr(access_token(None, "none")),
    "signed with RS256": lambda: ssr(access_token(RSA, "RS256")),
    "signed with ES256": lambda: ssr(access_token(EC, "ES256")),
    "signed with HS512": lambda: ssr(access_token(SECRET * 2, "HS512")),
    "too long a token": lambda: ssr(access_token(pad="x" * 9000)),
    "too long": lambda: of_length(16 * 1024 + 1),
    "in nine parts": lambda: in_parts(9),
    "in two dozen parts": lambda: in_parts(24),
    "another encoding": lambda: {SUPABASE: json.dumps({"access_token": access_token()})},
    "the token itself": lambda: {SUPABASE: access_token()},
    "empty": lambda: {SUPABASE: ""},
    "nothing in it": lambda: {SUPABASE: "base64-"},
    "not base64": lambda: {SUPABASE: "base64-%%%"},
    "not JSON": lambda: raw("{access_token"),
    "not text": lambda: raw(b"\xff\xfe"),
    "a list": lambda: raw(json.dumps([access_token()])),
    "a string": lambda: raw(json.dumps(access_token())),
    "null": lambda: raw("null"),
    "no token": lambda: raw("{}"),
    "a token that is a list": lambda: ssr([access_token()]),
    "a token after Bearer": lambda: ssr(f"Bearer {access_token()}"),
    "a token with a line in it": lambda: ssr(access_token() + "\r\nX: y"),
    "two tokens": lambda: raw(
        f'{{"access_token": "{access_token()}", "access_token": "{access_token()}"}}'
    ),
    "nested without end": lambda: raw("[" * 5000),
    "of another project": lambda: ssr(access_token(), "sb-other-auth-token"),
}


@pytest.mark.parametrize("forgery", FORGED)
@pytest.mark.parametrize("counted", ["supabase"], indirect=True)
def test_a_bad_supabase_cookie_is_401_and_makes_no_call(
    guarded: tuple[Api, Server, dict[str, str]], forgery: str
) -> None:
    api, server, _ = guarded
    assert_refused(decline(api, FORGED[forgery](), **SAME), 401, "AUTHENTICATION_ERROR")
    assert server.calls == []


def by_hand(header: dict[str, Any], claims: str, key: Any = SESSION_SECRET) -> str:
    """Sign any header and any text with HS256."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(claims.encode())}"
    return f"{signed}.{b64(sign('HS256', key, signed))}"


HS = {"alg": "HS256", "typ": "JWT"}
SOMEBODY = f'{{"user": {{"id": "{uuid4()}"}}, "exp": {int(time.time()) + MONTH}}}'
FORGED_SESSIONS: dict[str, Callable[[], str]] = {
    "forged": lambda: session(uuid4(), "a secret of somebody else's, which is long enough"),
    "signed with the project's secret": lambda: session(uuid4(), SECRET),
    "unsigned": lambda: session(uuid4(), None, "none"),
    "its signature cut off": lambda: session(uuid4()).rpartition(".")[0] + ".",
    "signed with HS512": lambda: session(uuid4(), SESSION_SECRET, "HS512"),
    "signed with RS256": lambda: session(uuid4(), RSA, "RS256"),
    "signed with ES256": lambda: session(uuid4(), EC, "ES256"),
    "says RS256, signed with HS256": lambda: by_hand({**HS, "alg": "RS256"}, SOMEBODY),
    "brings its key": lambda: by_hand({**HS, "jwk": {"kty": "oct", "k": "eA"}}, SOMEBODY),
    "names the address of its key": lambda: by_hand({**HS, "jku": "http://evil.test"}, SOMEBODY),
    "names critical fields": lambda: by_hand({**HS, "crit": ["exp"]}, SOMEBODY),
    "expired": lambda: session(uuid4(), exp=int(time.time()) - 11),
    "without an end": lambda: by_hand(HS, f'{{"user": {{"id": "{uuid4()}"}}}}'),
    "expires in words": lambda: by_hand(HS, SOMEBODY.rpartition(" ")[0] + ' "tomorrow"}'),
    "never expires": lambda: by_hand(
        HS, '{"user": {"id": "' + str(uuid4()) + '"}, "exp": Infinity}'
    ),
    "not valid yet": lambda: session(uuid4(), nbf=int(time.time()) + 60),
    "issued in the future": lambda: session(uuid4(), iat=int(time.time()) + 3600),
    "without a person": lambda: session(uuid4(), user={}),
    "a name instead of an id": lambda: session("ada"),
    "a number": lambda: session(uuid4(), user={"id": 7}),
    "a list": lambda: session(uuid4(), user={"id": [str(uuid4())]}),
    "null": lambda: session(uuid4(), user=None),
    "an id in another place": lambda: session(uuid4(), user={}, sub=str(uuid4())),
    "an access token": access_token,
    "an access token, signed by the frontend": lambda: access_token(SESSION_SECRET),
    "no token at all": lambda: "x",
    "empty": lambda: "",
    "two dots": lambda: "..",
    "too long": lambda: session(uuid4(), pad="x" * 17_000),
    "too long for a token": lambda: session("x" * 12_000),
}


@pytest.mark.parametrize("forgery", FORGED_SESSIONS)
@pytest.mark.parametrize("counted", ["session"], indirect=True)
def test_a_bad_session_is_401_and_makes_no_call(
    guarded: tuple[Api, Server, dict[str, str]], forgery: str
) -> None:
    api, server, _ = guarded
    answer = decline(api, {"session": FORGED_SESSIONS[forgery]()}, **SAME)
    assert_refused(answer, 401, "AUTHENTICATION_ERROR")
    assert server.calls == []


def test_a_session_does_not_count_as_a_bearer_token(
    guarded: tuple[Api, Server, dict[str, str]],
) -> None:
    api, server, _ = guarded
    answer = decline(api, {}, Authorization=f"Bearer {session(uuid4())}")
    assert_refused(answer, 401, "AUTHENTICATION_ERROR")
    assert server.calls == []


# Setting it up.

GOOD = {
    "SUPABASE_URL": "https://abcd.supabase.co",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
    "SUPABASE_JWT_SECRET": SECRET,
    "COOKIE_AUTH": "session",
    "COOKIE_SECRET": SESSION_SECRET,
}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"COOKIE_AUTH": "on"}, "COOKIE_AUTH is neither"),
        ({"COOKIE_SECRET": "short"}, "COOKIE_SECRET is shorter"),
        ({"COOKIE_SECRET": ""}, "COOKIE_SECRET is shorter"),
        ({"COOKIE_SECRET": SECRET}, "COOKIE_SECRET is SUPABASE_JWT_SECRET"),
        ({"SUPABASE_JWT_SECRET": ""}, "SUPABASE_JWT_SECRET is missing"),
        ({"COOKIE_NAME": "a b"}, "COOKIE_NAME is no name"),
    ],
)
def test_the_api_does_not_start_with_unsafe_cookie_settings(
    changes: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        load_settings({**GOOD, **changes})


def test_supabases_cookie_is_named_after_the_project() -> None:
    cookies = load_settings({**GOOD, "COOKIE_AUTH": "supabase"}).cookies
    assert cookies is not None
    assert cookies.name == "sb-abcd-auth-token"
    assert SESSION_SECRET not in repr(cookies)
