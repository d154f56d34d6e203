"""The route that shows the HTTP contract."""

from flask import Blueprint, Response, current_app, jsonify, request

from api.contract.endpoint import answers
from api.contract.openapi import contract

routes = Blueprint("contract", __name__)


@routes.get("/openapi.json")
@answers("application/json", sign_in=None)
def document() -> Response:
    """Show this contract for programs."""
    response = jsonify(contract(current_app))
    response.add_etag()
    response.make_conditional(request)
    return response
