"""The types of a request's fields."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    Strict,
    WithJsonSchema,
)


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the character NUL")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _boolean(value: Any) -> Any:
    texts = {"true": True, "false": False, "1": True, "0": False}
    return texts.get(value, value) if isinstance(value, str) else value


def _iso_text(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"[-+]?[0-9.]+", value):
        raise ValueError("must be text in ISO 8601, not a number")
    return value


# These accept all that a Postgres text, integer or bigint can hold; the database decides what it
# may hold. Numbers and booleans may come as text, because HTML forms send text.
Text = Annotated[str, AfterValidator(_no_nul)]
Integer = Annotated[
    int,
    Field(ge=-(2**31), lt=2**31),
    BeforeValidator(_number),
    WithJsonSchema({"type": ["integer", "string"], "pattern": "^-?[0-9]{1,10}$"}),
]
BigInteger = Annotated[
    int,
    Field(ge=-(2**63), lt=2**63),
    BeforeValidator(_number),
    WithJsonSchema({"type": ["integer", "string"], "pattern": "^-?[0-9]{1,19}$"}),
]
Flag = Annotated[
    bool,
    BeforeValidator(_boolean),
    WithJsonSchema({"enum": [True, False, "true", "false", "1", "0"]}),
]
Instant = Annotated[AwareDatetime, Strict(False), BeforeValidator(_iso_text)]
Day = Annotated[date, Strict(False), BeforeValidator(_iso_text)]
