"""What a request says, read into models; a refusal names every field that is wrong."""

import re
from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from flask import Response, request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from api.serving.errors import Refusal


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the character NUL")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _truth(value: Any) -> Any:
    texts = {"true": True, "false": False, "1": True, "0": False}
    return texts.get(value, value) if isinstance(value, str) else value


def _written(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"[-+]?[0-9.]+", value):
        raise ValueError("must be text in ISO 8601, not a number")
    return value


# What a Postgres text and a Postgres integer can hold; what they may hold is the database's to say.
# Numbers and truths may come as text, as forms send them.
Text = Annotated[str, AfterValidator(_no_nul)]
Integer = Annotated[
    int,
    Field(ge=-(2**31), lt=2**31),
    BeforeValidator(_number),
    WithJsonSchema({"type": ["integer", "string"], "pattern": "^-?[0-9]{1,10}$"}),
]
Flag = Annotated[
    bool,
    BeforeValidator(_truth),
    WithJsonSchema({"enum": [True, False, "true", "false", "1", "0"]}),
]
Instant = Annotated[AwareDatetime, Strict(False), BeforeValidator(_written)]
Day = Annotated[date, Strict(False), BeforeValidator(_written)]


class Fields(BaseModel):
    """What a request says; every field is known, and nothing is guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    def parameters(self) -> dict[str, Any]:
        """Return the fields given, as a function's parameters; the function fills the others."""
        given = self.model_dump(mode="json", exclude_none=True)
        return {f"p_{name}": value for name, value in given.items()}


class Body(Fields):
    """A JSON object."""


class Query(Fields):
    """A query string."""


ModelT = TypeVar("ModelT", bound=Fields)
P = ParamSpec("P")
_UUID = TypeAdapter(UUID)


def takes(
    model: type[ModelT],
) -> Callable[[Callable[Concatenate[ModelT, P], Response]], Callable[P, Response]]:
    """Read the request into a model and hand it to the route; the contract shows the same model."""

    def wrapped(view: Callable[Concatenate[ModelT, P], Response]) -> Callable[P, Response]:
        @wraps(view)
        def reading(*args: P.args, **kwargs: P.kwargs) -> Response:
            return view(_read(model), *args, **kwargs)

        vars(reading)["takes"] = model
        return reading

    return wrapped


def _read(model: type[ModelT]) -> ModelT:
    """Read the query or the JSON body; 400 VALIDATION_ERROR, or 415 UNSUPPORTED_MEDIA_TYPE.

    An empty body counts as an empty object, so that a POST without fields needs none.
    """
    if issubclass(model, Query):
        return _validated(lambda: model.model_validate_strings(request.args.to_dict()))
    raw = request.get_data()
    if raw and not request.is_json:
        raise not_json()
    return _validated(lambda: model.model_validate_json(raw or b"{}"))


def not_json() -> Refusal:
    """Make the answer to a body of another kind."""
    return Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send JSON, as application/json")


def read_id(raw: str) -> str:
    """Read a session's id from a path, or refuse with 400 VALIDATION_ERROR."""
    try:
        return str(_UUID.validate_strings(raw))
    except ValidationError as error:
        raise _refusal({"session_id": "must be a UUID"}) from error


def _validated(read: Callable[[], ModelT]) -> ModelT:
    try:
        return read()
    except ValidationError as error:
        problems = {}
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]) or "body"
            problems[field] = problem["msg"]
        raise _refusal(problems) from error


def _refusal(problems: dict[str, str]) -> Refusal:
    named = ", ".join(sorted(problems))
    return Refusal(400, "VALIDATION_ERROR", f"The request is not valid: {named}", problems)
