"""The HTTP contract as OpenAPI 3.1, read off the routes, their models and their docstrings."""

import inspect
import re
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, render_template, request
from werkzeug.routing import Rule

from api.contract.refusals import REFUSALS
from api.contract.requests import Body, Query
from api.contract.responses import answers
from api.contract.schemas import Schemas, header
from api.identity import auth
from api.routes.pages import PAGE_HEADERS

routes = Blueprint("contract", __name__)

Json = dict[str, Any]

_REFUSAL = re.compile(r"[0-9]{3} ([A-Z_]{4,})")
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
_ID = {"type": "string", "format": "uuid"}

# What a route can meet beside the refusals in its docstring: when somebody has to be signed in,
# when it is a write of theirs, and when it reads a body.
_SIGNED_IN = {
    *("AUTHENTICATION_ERROR", "AUTHORIZATION_ERROR", "VALIDATION_ERROR", "RATE_LIMITED"),
    *("UPSTREAM_UNAVAILABLE", "OUTCOME_UNKNOWN"),
}
_WRITING = {"ORIGIN_NOT_ALLOWED", "UNSUPPORTED_MEDIA_TYPE"}
_READING = {"VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"}


@routes.get("/openapi.json")
@answers("application/json")
def document() -> Response:
    """Show this contract for programs."""
    response = jsonify(contract(current_app))
    response.add_etag()
    response.make_conditional(request)
    return response


@routes.get("/docs")
def page() -> Response:
    """Show this contract for people."""
    text = render_template("contract.html", contract=contract(current_app))
    return Response(text, content_type="text/html; charset=utf-8", headers=PAGE_HEADERS)


def contract(app: Flask) -> Json:
    """Return the contract of an application, the same whatever its settings are."""
    if "contract" not in app.extensions:
        app.extensions["contract"] = _Contract(app).document()
    made: Json = app.extensions["contract"]
    return made


class _Contract:
    """A contract in the making: the schemas of its paths are collected as they are read."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._schemas = Schemas()

    def document(self) -> Json:
        paths: Json = {}
        for rule in sorted(self._app.url_map.iter_rules(), key=lambda rule: rule.rule):
            if "answers" in vars(self._app.view_functions[rule.endpoint]):
                [method] = {"GET", "POST"} & (rule.methods or set())
                path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
                paths.setdefault(path, {})[method.lower()] = self._operation(rule, method)
        sign_ins = {
            name: {"type": "http", "scheme": "bearer", "description": about}
            for name, about in _SIGN_INS.items()
        }
        return {
            "openapi": "3.1.0",
            "info": {"title": "Session approval", "version": "1", "description": _ABOUT},
            "paths": paths,
            "components": {**self._schemas.components(), "securitySchemes": sign_ins},
        }

    def _operation(self, rule: Rule, method: str) -> Json:
        view = self._app.view_functions[rule.endpoint]
        said = vars(view)
        noun = rule.endpoint.partition(".")[0]
        summary, _, text = (inspect.getdoc(view) or "").partition("\n")
        about, _, refused = text.partition("Refusals:")
        codes = {"INTERNAL_ERROR", *_REFUSAL.findall(refused)}
        made: Json = {"operationId": view.__name__, "tags": [noun], "summary": summary}
        if about.strip():
            made["description"] = " ".join(about.split())
        parameters = [_parameter("path", name, _ID, required=True) for name in rule.arguments]
        headers = dict(said["headers"])
        if auth.sign_in in self._app.before_request_funcs.get(noun, []):
            made["security"] = [{"token": []}]
            codes |= _SIGNED_IN | (set() if method == "GET" else _WRITING)
            if method == "GET":
                headers["If-None-Match"] = "The ETag of an earlier answer: 304 while it is good."
        elif noun in _SIGN_INS:
            made["security"] = [{noun: []}]
        parameters += [
            _parameter("header", name, {"type": "string", "description": text})
            for name, text in headers.items()
        ]
        if issubclass(said.get("takes", Body), Query):
            parameters += [
                _parameter("query", name, field)
                for name, field in self._schemas.fields(said["takes"]).items()
            ]
        elif "takes" in said:
            codes |= _READING
            is_needed = any(field.is_required() for field in said["takes"].model_fields.values())
            made["requestBody"] = {"required": is_needed, "content": self._content(said["takes"])}
        if rule.arguments:
            codes.add("NOT_FOUND")
        made |= {"parameters": parameters} if parameters else {}
        made["responses"] = self._success(said["answers"]) | self._refusals(codes)
        if "If-None-Match" in headers:
            made["responses"]["200"]["headers"] = header("ETag")
            made["responses"]["304"] = {"description": "Nothing has changed since that ETag."}
        made["responses"] = dict(sorted(made["responses"].items()))
        return made

    def _content(self, model: Any) -> Json:
        schema = self._schemas.of(model, "validation")
        return {"application/json": {"schema": schema, "example": self._schemas.example(schema)}}

    def _success(self, model: Any) -> Json:
        if isinstance(model, str):
            return {"200": {"description": "It is there.", "content": {model: {"schema": {}}}}}
        fields = self._schemas.of(model, "serialization")
        example = self._schemas.example(fields)
        properties = {"success": {"const": True}, "data": fields}
        beside = {"type": "object", "properties": properties, "required": list(properties)}
        content = {
            "schema": {"allOf": [fields, beside]},
            "example": {"success": True, **example, "data": example},
        }
        described: Json = {"description": inspect.getdoc(model)}
        return {"200": described | {"content": {"application/json": content}}}

    def _refusals(self, codes: set[str]) -> Json:
        """Return the refusals by status; one that has its status to itself by its name."""
        responses: Json = {}
        for code in (code for code in REFUSALS if code in codes):
            responses.setdefault(str(REFUSALS[code]["status"]), []).append(code)
        return {status: self._schemas.response(these) for status, these in responses.items()}


def _parameter(where: str, name: str, field: Json, *, required: bool = False) -> Json:
    schema = {key: value for key, value in field.items() if key not in ("description", "default")}
    about = {"description": field["description"]} if "description" in field else {}
    need = {"required": True} if required else {}
    return {"name": name, "in": where, **need, **about, "schema": schema}
