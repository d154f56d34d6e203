"""What schemathesis cannot make up: whose token goes where, and which sessions there are."""

import os
import re
from typing import Any

import schemathesis

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SESSIONS = os.environ["FUZZ_SESSIONS"].split()


@schemathesis.auth(refresh_interval=None)
class Callers:
    """The therapist on their routes, the client elsewhere, Prometheus for its metrics."""

    def get(self, case: Any, _context: Any) -> str:
        """Return whose token this request carries."""
        if case.path == "/metrics":
            return os.environ["FUZZ_METRICS"]
        therapist = case.path.startswith("/api/therapist/")
        return os.environ["FUZZ_THERAPIST" if therapist else "FUZZ_CLIENT"]

    def set(self, case: Any, token: str, _context: Any) -> None:
        """Add it where the contract asks for one."""
        if case.operation.definition.raw.get("security"):
            case.headers["Authorization"] = f"Bearer {token}"


def _known(name: str, value: Any) -> Any:
    """Put someone or something that exists in the place of a made-up id."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        return value
    if name == "patient_id":
        return os.environ["FUZZ_PATIENT"]
    return _SESSIONS[int(value[:8], 16) % len(_SESSIONS)] if "session" in name else value


def _with_known(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {name: _known(name, value) for name, value in values.items()}


@schemathesis.hook
def map_path_parameters(_context: Any, path_parameters: Any) -> Any:
    """Point at sessions that exist."""
    return _with_known(path_parameters)


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Name sessions and people that exist."""
    return _with_known(body)
