"""Rooms on a Jitsi server: only addresses and tokens are made, without a call to the server.

A Jitsi room exists while somebody is in it, and everybody who has its address comes in. So the
address ends in a keyed hash of the room's name. (The name alone would not be secret: it follows
from the session's id, which both people know before the approval.) With an application id the
server checks tokens too, and the address alone lets nobody in.
"""

import hashlib
import hmac

import jwt

from api.config import Settings
from api.video.provider import Room, Spec, VideoProvider


class Jitsi(VideoProvider):
    """A Jitsi server; it cannot close a room, put people out of it, or count them."""

    def __init__(self, settings: Settings) -> None:
        self._url, self._app_id = settings.jitsi_url, settings.jitsi_app_id
        self._secret = settings.jitsi_app_secret or ""

    def ensure(self, spec: Spec) -> Room:
        return self.get(spec["name"])

    def get(self, name: str) -> Room:
        secret_name = self._secret_name(name)
        return Room(secret_name, f"{self._url}/{secret_name}", parameter="jwt")

    def delete(self, name: str) -> bool:  # noqa: ARG002 - there is nothing to delete
        return True

    def token(self, spec: Spec) -> str:
        if not self._app_id:
            return ""
        # The server checks room, exp and nbf. The person is shown, and is a moderator if a plugin
        # such as token_affiliation reads it; its values must be strings.
        user = {
            "id": spec["user_id"],
            "name": spec["user_name"],
            "affiliation": "owner" if spec["is_owner"] else "member",
            "moderator": "true" if spec["is_owner"] else "false",
        }
        claims = {
            "aud": "jitsi",
            "iss": self._app_id,
            "sub": "*",
            "room": self._secret_name(spec["room_name"]),
            "exp": spec["expires_at"],
            "context": {"user": user},
        }
        if spec["opens_at"] is not None:
            claims["nbf"] = spec["opens_at"]
        return jwt.encode(claims, self._secret, "HS256")

    def standing(self) -> None:
        return None

    def _secret_name(self, name: str) -> str:
        digest = hmac.new(self._secret.encode(), f"room {name}".encode(), hashlib.sha256)
        return f"s-{digest.hexdigest()[:32]}"
