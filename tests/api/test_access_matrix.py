"""The access matrix over HTTP: what a curious user of supabase-js reaches."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from scripts.local.postgrest import PostgREST
from tests import actors
from tests.actors import Connection
from tests.api.conftest import SECRET
from tests.house import access_matrix
from tests.house.access_matrix import ACTORS, PROJECTS, Project, World
from tests.servers import Server

NEW, OPEN = PROJECTS["new"], PROJECTS["older, security off"]
OF_A_HALF = {"client_A", "therap_B", "inactive"}
CURIOUS_PEOPLE = [*sorted(OF_A_HALF), "anon", "partner", "no_sub"]


@pytest.fixture(scope="module", params=[NEW, OPEN], ids=["new", "older, security off"])
def project(request: pytest.FixtureRequest) -> Project:
    """A project of the most closed kind, and of the most open one."""
    kind: Project = request.param
    return kind


@pytest.fixture(scope="module")
def world_and_url(
    server: Server, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, str]]:
    """The project's people, and a PostgREST that rolls back every request."""
    yield from _served(project, server, tmp_path_factory)


def _served(
    project: Project, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, str]]:
    with project.database(server) as address:
        with actors.connect(address) as db:
            world = access_matrix.populate(db)
        name = urlsplit(address).path.lstrip("/")
        log = tmp_path_factory.mktemp("postgrest") / "log"
        undone = {"PGRST_DB_TX_END": "rollback"}  # of every request, once it is answered
        rest = PostgREST(server.uri(name, "authenticator"), SECRET, log, settings=undone)
        rest.start()
        yield world, rest.url
        rest.stop()


def rows(project: Project) -> list[access_matrix.Row]:
    """Return the matrix's rows that HTTP can try; calls are the same in every project."""
    calls = access_matrix.calls() if project is NEW else []
    tables = access_matrix.tables(project.where)
    return calls + [row for row in tables if not row.what.startswith("truncate")]


@pytest.mark.parametrize("actor", ACTORS)
def test_every_actor_reaches_over_http_what_the_matrix_says(
    world_and_url: tuple[World, str], project: Project, actor: str
) -> None:
    world, url = world_and_url
    wrong = []

    with access_matrix.by_http(url, SECRET, world.claims(actor)) as attempt:
        for row in rows(project):
            # One column of each kind, because the tests in SQL try all columns.
            answers = access_matrix.outcome(world, actor, row.what, attempt, one_of_each=True)
            for label, answer in answers.items():
                if answer != row.cells[actor]:
                    wrong.append(f"{label}: {answer}, and not {row.cells[actor]}")

    assert wrong == [], "\n".join(wrong)


# Other means of a curious user: PostgREST's query parameters and headers.


@pytest.fixture(scope="module")
def closed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """The people of a new project, and its PostgREST."""
    yield from _served(NEW, server, tmp_path_factory)


def client_of(world: World, url: str, actor: str) -> httpx.Client:
    """Return an HTTP client with an actor's token."""
    claims = world.claims(actor)
    headers = {"apikey": "sb_publishable_test"}
    if actor != "anon":
        headers["Authorization"] = f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"
    return httpx.Client(base_url=url, headers=headers, timeout=30)


CLIENT = "client:users!sessions_user_id_fkey(*)"
THERAPIST = "therapist:users!sessions_therapist_id_fkey(*)"
MINE = "sessions!sessions_user_id_fkey(*)"
GIVEN = "sessions!sessions_therapist_id_fkey(*)"

# Queries. No answer to them may contain data of the other half.
CURIOUS = [
    "/sessions?select=*",
    "/users?select=*",
    "/user_credits?select=*",
    f"/sessions?select=*,{CLIENT},{THERAPIST}",
    f"/sessions?select=*,{CLIENT.replace('(', '!inner(')}",
    f"/users?select=*,user_credits(*),{MINE},given:{GIVEN}",
    f"/user_credits?select=*,users(*,{MINE.replace('(*)', '(*,' + THERAPIST + ')')})",
    "/sessions?select=*,...users!sessions_therapist_id_fkey(email,full_name)",
    "/sessions?or=(user_id.not.is.null,therapist_id.not.is.null)",
    "/sessions?not.and=(user_id.is.null,notes.is.null)",
    "/users?or=(is_active.is.false,email.like.*example.org,user_type.eq.therapist)",
    "/user_credits?credits_balance=gte.0&order=credits_balance.desc",
    "/sessions?select=user_id,notes&order=notes.asc&limit=1000&offset=0",
    "/sessions?select=notes,credit_lot_id,request_key,session_url",
    "/sessions?select=whole:notes::text,count:id::text",
    "/sessions?select=count()",
    "/users?select=email.max()",
    "/rpc/list_sessions?select=*,users(*)",
    "/rpc/list_sessions?or=(id.not.is.null,user_id.not.is.null)",
    "/rpc/list_sessions?p_limit=100&status=neq.x",
    "/rpc/list_pending_sessions?select=*,sessions(*)",
    "/rpc/get_credits?select=*,user_credits(*)",
    "/rpc/get_credits?user_id=not.is.null",
    "/",
]
HEADERS: list[dict[str, str]] = [
    {},
    {"Accept": "text/csv"},
    {"Accept": "application/vnd.pgrst.object+json"},
    {"Accept": "application/vnd.pgrst.plan+json; options=analyze|verbose"},
    {"Prefer": "count=exact, handling=lenient, timezone=UTC"},
    {"Range": "0-1000", "Range-Unit": "items"},
    {"Role": "service_role", "X-Role": "service_role", "apikey": "service_role"},
]


@pytest.mark.parametrize("actor", CURIOUS_PEOPLE)
def test_no_query_shows_another_persons_data(closed: tuple[World, str], actor: str) -> None:
    world, url = closed
    mine, _ = world.mine_and_theirs(actor)
    theirs = [half for half in world.halves.values() if half is not mine or actor not in OF_A_HALF]
    leaks, seen = [], 0

    with client_of(world, url, actor) as http:
        for path in CURIOUS:
            for headers in HEADERS:
                answer = http.get(path, headers=headers)
                seen += mine.is_in(answer.text)
                if any(half.is_in(answer.text + str(answer.headers)) for half in theirs):
                    leaks.append((path, headers, answer.text))

    assert leaks == []
    assert (seen > 20) == (actor in OF_A_HALF)


def test_a_count_counts_only_ones_own_rows(closed: tuple[World, str]) -> None:
    world, url = closed
    counts = {}

    for actor in ("client_A", "therap_B", "partner", "no_sub", "service"):
        with client_of(world, url, actor) as http:
            for path in ("/sessions", "/user_credits", "/sessions?notes=like.*of*"):
                answer = http.get(path, headers={"Prefer": "count=exact", "Range": "0-0"})
                total = answer.headers["Content-Range"].rpartition("/")[2]
                counts.setdefault(actor, []).append(int(total))

    assert counts == {
        "client_A": [3, 1, 3],
        "therap_B": [3, 0, 3],
        "partner": [0, 0, 0],
        "no_sub": [0, 0, 0],
        "service": [9, 3, 9],
    }


@pytest.mark.parametrize("actor", ["anon", "client_A", "service"])
def test_nothing_in_our_schema_can_be_reached_over_http(
    closed: tuple[World, str], db: Connection, actor: str
) -> None:
    world, url = closed
    objects = [what.split() for what in access_matrix.privileges(db) if "." in what]
    names = [(kind, *name.split(".")) for kind, name in objects]
    ours = [(kind, name) for kind, schema, name in names if schema == "session_approval"]
    entry_points = {name for _, schema, name in names if schema == "public"}

    with client_of(world, url, actor) as http:
        for kind, name in ours:
            path = f"/rpc/{name}" if kind == "function" else f"/{name}"
            for headers in ({"Accept-Profile": "session_approval"}, {}):
                if not headers and name in entry_points:
                    continue  # an entry point has the name of its implementation
                answer = http.get(path, headers=headers)
                assert answer.status_code == (406 if headers else 404), (path, answer.text)
        answer = http.post("/rpc/version", json={}, headers={"Content-Profile": "session_approval"})
        assert answer.status_code == 406
    assert len(ours) > 80


def test_postgrests_description_names_only_what_the_actor_may_call(
    closed: tuple[World, str],
) -> None:
    world, url = closed
    entry_points = {
        role: {
            f"/rpc/{what.partition('public.')[2]}"
            for what, cells in access_matrix.executable().items()
            if what.startswith("function public.") and cells[column] == "X"
        }
        for column, role in enumerate(access_matrix.ROLES)
    }
    tables = {"/", "/users", "/sessions", "/user_credits"}

    for actor, expected in {
        "anon": {"/"},
        "client_A": tables | entry_points["people"],
        "nobody": tables | entry_points["people"],
        "service": tables | entry_points["service"],
    }.items():
        with client_of(world, url, actor) as http:
            description = http.get("/", headers={"Accept": "application/openapi+json"}).json()
        assert set(description["paths"]) == expected, actor


def test_a_write_that_returns_or_merges_is_refused_like_any_other(
    closed: tuple[World, str],
) -> None:
    world, url = closed
    mine, theirs = world.mine_and_theirs("client_A")
    headers = {"Prefer": "resolution=merge-duplicates, return=representation, missing=default"}

    with client_of(world, url, "client_A") as http:
        answers = [
            http.post(
                "/user_credits?on_conflict=id",
                json=[{"id": str(half.ids["lot"]), "credits_balance": 99}],
                headers=headers,
            )
            for half in (mine, theirs)
        ]
        answers.append(http.put(f"/sessions?id=eq.{mine.ids['pending']}", json={}, headers=headers))
        answers.append(http.patch("/sessions", json={"status": "scheduled"}, headers=headers))
        answers.append(http.delete("/sessions", headers=headers))

    for answer in answers:
        assert answer.status_code in (400, 403), answer.text
        assert not theirs.is_in(answer.text)
    assert [answer.json()["code"] for answer in answers].count("42501") == 4


def test_other_claims_of_a_token_change_nothing(
    closed: tuple[World, str],
) -> None:
    world, url = closed
    _, theirs = world.mine_and_theirs("client_A")
    false_claims = {
        "app_metadata": {"role": "service_role", "user_type": "therapist"},
        "user_metadata": {"user_type": "therapist", "sub": str(theirs.ids["client"])},
        "user_id": str(theirs.ids["client"]),
        "user_role": "service_role",
        "aal": "aal2",
        "is_super_admin": True,
    }
    token = jwt.encode({**false_claims, **world.claims("client_A")}, SECRET, "HS256")
    headers = {"Authorization": f"Bearer {token}"}

    with httpx.Client(base_url=url, headers=headers, timeout=30) as http:
        clients = http.post("/rpc/list_clients", json={})
        answers = [http.get(path) for path in CURIOUS]

    assert (clients.status_code, clients.json()["hint"]) == (403, "AUTHORIZATION_ERROR")
    assert not any(theirs.is_in(answer.text) for answer in answers)
