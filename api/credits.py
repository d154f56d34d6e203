"""The client's route to their credits."""

from flask import Blueprint, Response

from api import auth, rpc
from api.answers import answer

routes = Blueprint("credits", __name__, url_prefix="/api/credits")
routes.before_request(auth.sign_in)


@routes.get("/user")
def get_credits() -> Response:
    """Show the caller's credits: what an approval would see, each lot, and the latest changes.

    Refusals: 401 AUTHENTICATION_ERROR, 403 AUTHORIZATION_ERROR.
    """
    return answer(**rpc.call_one("get_credits"))
