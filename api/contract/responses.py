"""Every success as one JSON shape, which is not sent again to who has it already."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, jsonify, request
from pydantic import BaseModel

ViewT = TypeVar("ViewT", bound=Callable[..., Any])


def answer(**fields: Any) -> Response:
    """Answer with the fields twice: flat for older screens, under data for newer ones.

    A GET's answer has an ETag, the hash of its body, and is 304 without a body to who sends it
    back; whoever is asking has been answered by the database first, so that one person's ETag tells
    another nothing.
    """
    response = jsonify({"success": True, **fields, "data": fields})
    if request.method in ("GET", "HEAD"):
        response.add_etag()
        response.make_conditional(request)
    return response


def answers(
    model: type[BaseModel] | str, headers: dict[str, str] | None = None
) -> Callable[[ViewT], ViewT]:
    """Say in the contract what a route answers with, a model or a media type, and which headers
    it reads; the tests hold it to its word."""

    def declared(view: ViewT) -> ViewT:
        vars(view).update(answers=model, headers=headers or {})
        return view

    return declared
