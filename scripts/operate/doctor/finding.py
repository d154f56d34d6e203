"""One finding of the doctor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something to know: how bad it is, what it is, why it matters, what to do."""

    level: str  # ok, warning or error
    what: str
    why: str = ""
    do: str = ""
