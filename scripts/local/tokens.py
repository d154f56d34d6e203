"""Access tokens of the local stack, shaped like Supabase's."""

import time
from uuid import uuid4

import jwt

LIFETIME_SECONDS = 12 * 3600


def mint(
    secret: str, issuer: str, user_id: str, email: str, *, lifetime: int = LIFETIME_SECONDS
) -> str:
    """Return a signed-in person's token, valid for so many seconds."""
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
