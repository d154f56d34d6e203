"""What a request says, read into models; a refusal names every field that is wrong."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

from flask import request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from api.errors import Refusal


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the character NUL")
    return value


# What a Postgres text and a Postgres integer can hold; what they may hold is the database's to say.
Text = Annotated[str, AfterValidator(_no_nul)]
Integer = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class Body(BaseModel):
    """A JSON object in which every field is known."""

    model_config = ConfigDict(extra="forbid")

    def parameters(self) -> dict[str, Any]:
        """Return the fields given, as a function's parameters; the function fills the others."""
        given = self.model_dump(mode="json", exclude_none=True)
        return {f"p_{name}": value for name, value in given.items()}


ModelT = TypeVar("ModelT", bound=BaseModel)
_UUID = TypeAdapter(UUID)


def read_body(model: type[ModelT]) -> ModelT:
    """Read the JSON body, or refuse with 400 VALIDATION_ERROR or 415 UNSUPPORTED_MEDIA_TYPE.

    An empty body counts as an empty object, so that a POST without fields needs none.
    """
    raw = request.get_data()
    if raw and not request.is_json:
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send JSON, as application/json")
    return _validated(lambda: model.model_validate_json(raw or b"{}"))


def read_query(model: type[ModelT]) -> ModelT:
    """Read the query string, or refuse with 400 VALIDATION_ERROR."""
    return _validated(lambda: model.model_validate(request.args.to_dict()))


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
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            field = ".".join(str(part) for part in problem["loc"]) or "body"
            problems[field] = problem["msg"]
        raise _refusal(problems) from error


def _refusal(problems: dict[str, str]) -> Refusal:
    named = ", ".join(sorted(problems))
    return Refusal(400, "VALIDATION_ERROR", f"The request is not valid: {named}", problems)
