"""The published contract: it is what the API does, whatever is sent to it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import jwt
import pytest

from api.config import Settings
from api.contract.openapi import contract
from scripts import ROOT, CommandError
from scripts.develop.contract import TYPES, document, types
from scripts.operate import psql
from scripts.operate.sql_files import object_files
from tests import actors
from tests.actors import Connection, Person
from tests.api.conftest import CONTRACT, SECRET, Api, Held, assert_refused, token_of
from tests.api.serving import serving
from tests.servers import Server

REFUSALS = ROOT / "api" / "contract" / "refusals.json"

EXAMPLES = os.environ.get("CONTRACT_EXAMPLES", "3")  # of each route, made up of its schema
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in CONTRACT["paths"].items()
    for method, operation in methods.items()
}


def test_the_published_contract_is_the_one_that_the_api_serves(api: Api) -> None:
    assert (ROOT / "docs" / "openapi.json").read_text() == document(), (
        "make it anew: .venv/bin/python -m scripts contract"
    )
    assert api.get("/openapi.json").json == CONTRACT


def test_the_published_types_are_made_of_the_published_contract() -> None:
    try:
        made = types()
    except CommandError as error:
        pytest.skip(f"NOT TESTED: the types for TypeScript could not be made: {error}")
    assert TYPES.read_text() == made, "make it anew: .venv/bin/python -m scripts contract"


def test_every_route_but_the_pages_is_in_the_contract(api: Api) -> None:
    routes = {
        f"{method} " + re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule.rule)
        for rule in api.http.application.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
        if rule.endpoint.partition(".")[0] != "screens"
    }
    assert routes == set(OPERATIONS)


def refusals(operation: dict[str, Any]) -> set[str]:
    """Return the status and code of everything that a route can refuse with."""
    text = json.dumps(operation["responses"])
    codes = set(re.findall(r'"#/components/(?:schemas|responses)/([A-Z_]{4,})"', text))
    return {f"{status_of(code)} {code}" for code in codes}


def status_of(code: str) -> int:
    """Return the status that goes with a code."""
    return int(json.loads(REFUSALS.read_text())[code]["status"])


def test_a_route_says_every_refusal_of_the_function_behind_it() -> None:
    compared = 0
    for operation in OPERATIONS.values():
        view = operation["operationId"]
        function = {
            "approve": "approve_session_and_deduct_credit",
            "pending": "list_pending_sessions",
            "daily": "record_video_event",
        }.get(view, view)
        for name in (function, f"{function}_session", "join_session" if "join" in view else ""):
            for file in (file for file in object_files() if file.stem == name):
                said = re.search(r"^-- Refusals:(.*?)^\n", file.read_text(), re.M | re.S)
                assert said is not None, file
                wanted = set(re.findall(r"\d{3}\s+(?:-- )?[A-Z_]{4,}", said[1]))
                wanted = {re.sub(r"\s+(-- )?", " ", one) for one in wanted}
                assert wanted <= refusals(operation), view
                compared += 1
    assert compared == 16


def test_a_route_asks_for_a_token_where_the_contract_says_so(api: Api) -> None:
    asked = 0
    for name, operation in OPERATIONS.items():
        method, path = name.split(" ")
        answered = api.http.open(re.sub("{.*}", "42", path), method=method)
        if operation.get("security") == [{"token": []}]:
            assert_refused(answered, 401, "AUTHENTICATION_ERROR")
            asked += 1
        else:
            assert answered.status_code in (200, 404), name  # 404: not set up here
    assert asked >= 13


def test_every_example_is_what_its_schema_says() -> None:
    seen = 0
    for name, operation in OPERATIONS.items():
        shown = [operation.get("requestBody", {"content": {}}), operation["responses"]["200"]]
        for content in (c for one in shown for c in one["content"].values() if "example" in c):
            schema = {**content["schema"], "components": CONTRACT["components"]}
            jsonschema_rs.validate(schema, content["example"], validate_formats=True)
            seen += 1
        assert name.startswith("GET /metrics") or seen
    for name, schema in CONTRACT["components"]["schemas"].items():
        for example in schema.get("examples", []):
            jsonschema_rs.validate(
                {**schema, "components": CONTRACT["components"]}, example, validate_formats=True
            )
            assert example["code"] == name
            seen += 1
    assert seen >= 40


def test_every_sentence_in_an_example_of_a_refusal_is_one_that_is_said() -> None:
    sources = [*(ROOT / "sql").rglob("*.sql"), *(ROOT / "api").rglob("*.py")]
    said = "\n".join(source.read_text() for source in sources).replace("''", "'")
    for code, refusal in json.loads(
        (ROOT / "api" / "contract" / "refusals.json").read_text()
    ).items():
        if code not in ("NOT_FOUND", "METHOD_NOT_ALLOWED", "PAYLOAD_TOO_LARGE"):  # Werkzeug's
            start = re.split(r"[:\d]|Europe", refusal["error"])[0].strip()
            assert start in said, (code, start)


def test_the_contract_is_the_same_whatever_is_set(settings: Settings, api: Api) -> None:
    assert contract(Api(settings).http.application) == contract(api.http.application)


def test_an_answer_that_the_contract_does_not_describe_fails_a_test(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = CONTRACT["paths"]["/api/credits/user"]["get"]["responses"]
    monkeypatch.delitem(said, "401")
    with pytest.raises(AssertionError):
        api.get("/api/credits/user")
    assert isinstance(api.http, Held)


def test_nothing_that_anybody_sends_gets_an_answer_outside_the_contract(
    environment: dict[str, str],
    settings: Settings,
    server: Server,
    api_database: str,
    db: Connection,
    tmp_path: Path,
    log_file: Path,
) -> None:
    psql.apply(server.uri(api_database), [psql.DEMO])
    names = {"tara": "therapist", "ada": "individual"}
    tara, ada = (
        Person(row["id"], row["email"], name, kind)
        for name, kind in names.items()
        for row in db.execute(
            "select id, email from public.users where email = %s", (f"{name}@example.org",)
        )
    )
    actors.give_credits(db, ada, 40)
    api = Api(settings)
    waiting = [api.propose(tara, ada) for _ in range(12)]
    instant = [api.propose(tara, ada, is_instant=True) for _ in range(12)]
    for session in instant[:8] + waiting[:3]:
        assert api.approve(ada, session).status_code in (200, 409)
    (tmp_path / "schemathesis.toml").write_text(
        f"hooks = {json.dumps(str(HOOKS))}\n"
        "[checks.positive_data_acceptance]\n"
        # What the database alone can know, such as whether a time is still to come.
        'expected-statuses = ["2xx", 304, 400, 401, 402, 403, 404, 409, 410, 422]\n'
    )
    key = jwt.encode({"role": "service_role", "exp": int(time.time()) + 600}, SECRET, "HS256")
    served_with = environment | {
        "RATE_LIMIT": "off",
        "METRICS_TOKEN": "what Prometheus sends",
        "DAILY_WEBHOOK_SECRET": "d2hhdCBEYWlseSBhbmQgd2Ugc2hhcmU=",
        "SUPABASE_SECRET_KEY": key,
    }
    told_hooks = {
        "FUZZ_THERAPIST": token_of(tara),
        "FUZZ_CLIENT": token_of(ada),
        "FUZZ_METRICS": served_with["METRICS_TOKEN"],
        "FUZZ_SESSIONS": " ".join(session["id"] for session in waiting + instant),
        "FUZZ_PATIENT": str(ada.id),
    }
    with serving(log_file, **served_with) as served:
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file"),
                *(str(tmp_path / "schemathesis.toml"), "run", f"{served.url}/openapi.json"),
                *("--checks", "all", "--max-examples", EXAMPLES, "--seed", "8", "--no-color"),
                *("--continue-on-failure", "--warnings", "off"),
            ],
            cwd=tmp_path,
            env={**os.environ, **told_hooks},
            capture_output=True,
            text=True,
            timeout=60 + 60 * int(EXAMPLES),
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    others = len(OPERATIONS) - 1  # than the one that it reads the contract from
    assert f"Tested: {others}" in ran.stdout
    log = [json.loads(line) for line in log_file.read_text().splitlines() if '"route"' in line]
    met = {(line["route"], line["status"]) for line in log}
    assert ("/api/sessions/approve", 200) in met
    assert ("/api/therapist/create-custom-session", 200) in met
    assert ("/api/sessions/<session_id>/join", 200) in met
