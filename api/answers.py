"""Every success as one JSON shape."""

from typing import Any

from flask import Response, jsonify


def answer(**fields: Any) -> Response:
    """Answer with the fields twice: flat for older screens, under data for newer ones."""
    return jsonify({"success": True, **fields, "data": fields})
