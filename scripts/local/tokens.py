"""Print an access token for one of the local stack's people, for curl."""

import time
from uuid import uuid4

import click
import httpx
import jwt

from scripts import CommandError
from scripts.local import LOCAL

LIFETIME_SECONDS = 12 * 3600


@click.command(help=__doc__, epilog="The stack must be running: make run")
@click.argument("email")
def main(email: str) -> None:
    """Ask the running stack's sign-in for a token."""
    address = LOCAL / "run" / "api-url"
    if not address.exists():
        raise CommandError("The local stack has not run yet: make run")
    try:
        response = httpx.post(
            f"{address.read_text()}/sign-in/token", json={"email": email}, timeout=10
        )
    except httpx.TransportError:
        raise CommandError("The local stack does not answer: make run") from None
    body = response.json()
    if response.status_code != 200:
        raise CommandError(f"{body['error']}: {email}. make run lists the people")
    print(body["access_token"])


def mint(
    secret: str, issuer: str, user_id: str, email: str, *, lifetime: int = LIFETIME_SECONDS
) -> str:
    """Return a signed-in person's token, shaped like Supabase's, valid for so many seconds."""
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": "authenticated",
        "role": "authenticated",
        "sub": user_id,
        "email": email,
        "iat": now,
        "exp": now + lifetime,
        "aal": "aal1",
        "session_id": str(uuid4()),
        "is_anonymous": False,
    }
    return jwt.encode(claims, secret, algorithm="HS256")
