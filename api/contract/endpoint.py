"""What a route declares for the contract, and how it reads its request and answers."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from uuid import UUID

from flask import Response, jsonify, request
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from api.serving.errors import Refusal, not_json


class Fields(BaseModel):
    """The fields of a request; an unknown field, or another type of JSON, is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    def parameters(self) -> dict[str, Any]:
        """Return the fields that were sent, as parameters; the function has its own defaults."""
        given = self.model_dump(mode="json", exclude_none=True)
        return {f"p_{name}": value for name, value in given.items()}


class Body(Fields):
    """A JSON object."""


class Query(Fields):
    """A query string."""


ViewT = TypeVar("ViewT", bound=Callable[..., Any])
ModelT = TypeVar("ModelT", bound=Fields)
P = ParamSpec("P")
_UUID = TypeAdapter(UUID)


def answers(
    model: type[BaseModel] | str,
    *,
    refuses: Sequence[str] = (),
    headers: dict[str, str] | None = None,
    sign_in: Literal["token", "metrics"] | None = "token",
) -> Callable[[ViewT], ViewT]:
    """Declare what a route answers with: a model or a media type.

    `refuses` names the codes of this route alone; openapi.py adds those that every route, every
    route with a body and every route with a token has. `headers` are those that the route reads.
    A route needs a person's token, which identity.auth checks, unless `sign_in` says otherwise.
    """

    def declared(view: ViewT) -> ViewT:
        vars(view).update(answers=model, refuses=refuses, headers=headers or {}, sign_in=sign_in)
        return view

    return declared


def takes(
    model: type[ModelT],
) -> Callable[[Callable[Concatenate[ModelT, P], Response]], Callable[P, Response]]:
    """Read the request into a model and hand it to the route."""

    def wrapped(view: Callable[Concatenate[ModelT, P], Response]) -> Callable[P, Response]:
        @wraps(view)
        def reading(*args: P.args, **kwargs: P.kwargs) -> Response:
            return view(_read(model), *args, **kwargs)

        vars(reading)["takes"] = model
        return reading

    return wrapped


def answer(**fields: Any) -> Response:
    """Answer with the fields twice: flat for older screens, under data for newer ones.

    A GET's answer has an ETag, the hash of its body; a request that sends the same ETag gets 304
    without a body. The database has answered that request too, as its own caller, so one person's
    ETag tells another person nothing.
    """
    response = jsonify({"success": True, **fields, "data": fields})
    if request.method in ("GET", "HEAD"):
        response.add_etag()
        response.make_conditional(request)
    return response


def read_id(raw: str) -> str:
    """Read a session's id from a path, or refuse with 400 VALIDATION_ERROR."""
    try:
        return str(_UUID.validate_strings(raw))
    except ValidationError as error:
        raise _refusal({"session_id": "must be a UUID"}) from error


def _read(model: type[ModelT]) -> ModelT:
    """Read the query or the JSON body; 400 VALIDATION_ERROR, or 415 UNSUPPORTED_MEDIA_TYPE.

    An empty body counts as an empty object, so that a POST without fields needs none.
    """
    try:
        if issubclass(model, Query):
            return model.model_validate_strings(request.args.to_dict())
        raw = request.get_data()
        if raw and not request.is_json:
            raise not_json()
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        problems = {}
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]) or "body"
            problems[field] = problem["msg"]
        raise _refusal(problems) from error


def _refusal(problems: dict[str, str]) -> Refusal:
    named = ", ".join(sorted(problems))
    return Refusal(400, "VALIDATION_ERROR", f"The request is not valid: {named}", problems)
