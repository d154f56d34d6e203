"""The HTTP contract as OpenAPI 3.1, made of what the routes declare."""

import inspect
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from pydantic import TypeAdapter

from api.contract.endpoint import Body, Query
from api.contract.refusals import REFUSALS, refusal_example, refusal_model

Json = dict[str, Any]

# Examples of a model (Model), of one model's field (Model.field) or of a field of all (field).
_EXAMPLES: Json = json.loads(Path(__file__).with_name("examples.json").read_text())

_ABOUT = """\
Sessions that a therapist proposes and a client approves, paid with one prepaid credit.

A success has its fields twice, flat and under data. A refusal has a sentence for people and a \
code for programs. Every answer has an X-Request-Id, yours if you sent one. Whatever is sent \
again, a credit moves once."""
_SIGN_INS = {
    "token": "A person's Supabase access token. Where the installation says so a cookie stands in "
    "for it; a header that is given is all that counts.",
    "metrics": "METRICS_TOKEN.",
}

# The codes that a route has without naming them: every route; a route that needs a person's token;
# such a route if it writes; a route that reads a body; a route with an id in its path.
_ALWAYS = {"INTERNAL_ERROR"}
_SIGNED_IN = {
    *("AUTHENTICATION_ERROR", "AUTHORIZATION_ERROR", "VALIDATION_ERROR", "RATE_LIMITED"),
    *("UPSTREAM_UNAVAILABLE", "OUTCOME_UNKNOWN"),
}
_WRITING = {"ORIGIN_NOT_ALLOWED", "UNSUPPORTED_MEDIA_TYPE"}
_READING = {"VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"}
_BY_ID = {"NOT_FOUND"}

_REF = "#/components/schemas/"
_ID = {"type": "string", "format": "uuid"}
_TEXT_HEADER = {"schema": {"type": "string"}}


@dataclass(frozen=True)
class _Route:
    """One route, and what it declares."""

    path: str
    method: str
    noun: str
    view: Any
    ids: list[str]
    body: type[Body] | None
    query: type[Query] | None

    def refusals(self) -> dict[str, list[str]]:
        """Return the codes of its refusals by status, in the order of refusals.json."""
        codes = _ALWAYS | set(self.view.refuses)
        if self.view.sign_in == "token":
            codes |= _SIGNED_IN | (_WRITING if self.method == "POST" else set())
        codes |= (_READING if self.body else set()) | (_BY_ID if self.ids else set())
        by_status: dict[str, list[str]] = {}
        for code in sorted(codes, key=list(REFUSALS).index):
            by_status.setdefault(str(REFUSALS[code]["status"]), []).append(code)
        return by_status


def contract(app: Flask) -> Json:
    """Return the contract of an application, the same whatever its settings are."""
    if "contract" not in app.extensions:
        app.extensions["contract"] = _document(_routes(app))
    document: Json = app.extensions["contract"]
    return document


def _routes(app: Flask) -> list[_Route]:
    found = []
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        if hasattr(view, "answers"):
            [method] = {"GET", "POST"} & (rule.methods or set())
            takes = getattr(view, "takes", None)
            found.append(
                _Route(
                    path=re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule),
                    method=method,
                    noun=rule.endpoint.partition(".")[0],
                    view=view,
                    ids=sorted(rule.arguments),
                    body=takes if takes and issubclass(takes, Body) else None,
                    query=takes if takes and issubclass(takes, Query) else None,
                )
            )
    return found


def _document(routes: list[_Route]) -> Json:
    refusals = [codes for route in routes for codes in route.refusals().values()]
    schemas = _schemas(routes, sorted({code for codes in refusals for code in codes}))
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    for query in {route.query.__name__ for route in routes if route.query}:
        del schemas[query]  # its fields are parameters now
    alone = sorted({codes[0] for codes in refusals if len(codes) == 1})
    sign_ins = {
        name: {"type": "http", "scheme": "bearer", "description": about}
        for name, about in _SIGN_INS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Session approval", "version": "1", "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {code: _refusal([code]) for code in alone},
            "securitySchemes": sign_ins,
        },
    }


def _schemas(routes: list[_Route], codes: list[str]) -> Json:
    """Return pydantic's schemas of all requests, answers and refusals, by name."""
    modes: dict[type, Any] = {}
    for route in routes:
        modes |= {model: "validation" for model in (route.body, route.query) if model}
        if not isinstance(route.view.answers, str):
            modes[route.view.answers] = "serialization"
    modes |= {refusal_model(code): "serialization" for code in codes}
    _, made = TypeAdapter.json_schemas(
        [(model.__name__, mode, TypeAdapter(model)) for model, mode in modes.items()],
        ref_template=_REF + "{model}",
    )
    schemas: Json = dict(sorted(made["$defs"].items()))
    for schema in schemas.values():
        del schema["title"]  # it repeats the schema's name
        for field in schema["properties"].values():
            field.pop("title", None)  # and this the field's
            field.pop("default", None)  # the database knows it
    for code in codes:
        schemas[code]["examples"] = [refusal_example(code)]
    return schemas


def _operation(route: _Route, schemas: Json) -> Json:
    view = route.view
    summary, _, about = (inspect.getdoc(view) or "").partition("\n")
    made: Json = {"operationId": view.__name__, "tags": [route.noun], "summary": summary}
    if about.strip():
        made["description"] = " ".join(about.split())
    if view.sign_in:
        made["security"] = [{view.sign_in: []}]
    headers = dict(view.headers)
    is_conditional = route.method == "GET" and view.sign_in == "token"
    if is_conditional:
        headers["If-None-Match"] = "The ETag of an earlier answer: 304 while it is good."
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _ID} for name in route.ids
    ]
    parameters += [
        {"name": name, "in": "header", "description": about, **_TEXT_HEADER}
        for name, about in headers.items()
    ]
    if route.query:
        fields = schemas[route.query.__name__]["properties"]
        parameters += [_parameter(name, field) for name, field in fields.items()]
    made |= {"parameters": parameters} if parameters else {}
    if body := route.body:
        schema = {"$ref": _REF + body.__name__}
        content = {"application/json": {"schema": schema, "example": _example(schema, schemas)}}
        made["requestBody"] = {"required": "required" in schemas[body.__name__], "content": content}
    responses = {"200": _success(view.answers, schemas)}
    if is_conditional:
        responses["200"]["headers"] = {"ETag": _TEXT_HEADER}
        responses["304"] = {"description": "Nothing has changed since that ETag."}
    for status, codes in route.refusals().items():
        alone = {"$ref": f"#/components/responses/{codes[0]}"}
        responses[status] = alone if len(codes) == 1 else _refusal(codes)
    return made | {"responses": dict(sorted(responses.items()))}


def _parameter(name: str, field: Json) -> Json:
    """Return a query's field as a parameter, which may be missing but is never null."""
    [kind] = [kind for kind in field["anyOf"] if kind != {"type": "null"}]
    return {"name": name, "in": "query", "description": field["description"], "schema": kind}


def _success(model: Any, schemas: Json) -> Json:
    if isinstance(model, str):
        return {"description": "It is there.", "content": {model: {"schema": {}}}}
    fields = {"$ref": _REF + model.__name__}
    example = _example(fields, schemas)
    properties = {"success": {"const": True}, "data": fields}
    beside = {"type": "object", "properties": properties, "required": list(properties)}
    content = {
        "schema": {"allOf": [fields, beside]},
        "example": {"success": True, **example, "data": example},
    }
    return {"description": inspect.getdoc(model), "content": {"application/json": content}}


def _refusal(codes: list[str]) -> Json:
    """Return the response for a refusal with one of these codes."""
    refs = [{"$ref": _REF + code} for code in codes]
    made: Json = {
        "description": " ".join(f"{code}: {REFUSALS[code]['when']}." for code in codes),
        "content": {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}},
    }
    return made | ({"headers": {"Retry-After": _TEXT_HEADER}} if "RATE_LIMITED" in codes else {})


def _example(schema: Json, schemas: Json) -> Any:
    """Return a schema's example, which is made of the examples of its fields."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        if name in _EXAMPLES:
            return _EXAMPLES[name]
        fields = schemas[name]["properties"]
        known = {field: _EXAMPLES.get(f"{name}.{field}", _EXAMPLES.get(field)) for field in fields}
        return {
            field: known[field] if known[field] is not None else _example(inner, schemas)
            for field, inner in fields.items()
        }
    if schema.get("type") == "array":
        return [_example(schema["items"], schemas)]
    return _example(schema["anyOf"][0], schemas) if "anyOf" in schema else None
