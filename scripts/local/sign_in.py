"""The local stack's API: the shipped one, with a sign-in for the demo's people and a page for two.

Supabase signs people in where the product is deployed; this module stands in for it on one
machine, and nothing of it is in the api package.
"""

import os
from pathlib import Path

import psycopg
from flask import Blueprint, Flask, Response, jsonify, request, send_from_directory
from psycopg.rows import dict_row

from api import create_app as create_api
from api.contract.endpoint import answer
from api.serving.errors import Refusal
from scripts.local.tokens import mint

routes = Blueprint("sign_in", __name__)
_HERE = Path(__file__).parent


def create_app() -> Flask:
    """Build the API with the local sign-in beside it."""
    app = create_api()
    app.register_blueprint(routes)
    return app


@routes.get("/")
@routes.get("/sign-in")
def page() -> Response:
    """Serve the page on which one of the demo's people is chosen."""
    return send_from_directory(_HERE, "sign-in.html")


@routes.get("/sign-in.js")
def script() -> Response:
    """Serve the page's script."""
    return send_from_directory(_HERE, "sign-in.js")


@routes.get("/ui/demo")
def demo() -> Response:
    """Serve the page on which a therapist and a client are side by side."""
    return send_from_directory(_HERE, "demo.html")


@routes.get("/ui/demo.<any(css, js):kind>")
def demo_part(kind: str) -> Response:
    """Serve that page's style sheet and script."""
    return send_from_directory(_HERE, f"demo.{kind}")


@routes.get("/sign-in/people")
def people() -> Response:
    """List who can sign in, with the credits they can spend."""
    return jsonify(_people())


@routes.post("/sign-in/token")
def token() -> Response:
    """Give a token to one of the demo's people.

    Refusals: 404 NOT_FOUND.
    """
    wanted = (request.get_json(silent=True) or {}).get("email")
    for person in _people():
        email = str(person["email"])
        if email == wanted:
            return answer(
                access_token=mint(
                    os.environ["SUPABASE_JWT_SECRET"],
                    f"{os.environ['SUPABASE_URL']}/auth/v1",
                    str(person["id"]),
                    email,
                )
            )
    raise Refusal(404, "NOT_FOUND", "Nobody here has that address")


def _people() -> list[dict[str, object]]:
    with psycopg.connect(os.environ["DATABASE_URL"], row_factory=dict_row) as connection:
        return connection.execute(
            "select p.id, p.email, p.full_name, p.user_type = 'therapist' as is_therapist,"
            " session_approval.spendable_balance(p.id) as credits"
            " from session_approval.people p where p.is_active order by p.id"
        ).fetchall()
