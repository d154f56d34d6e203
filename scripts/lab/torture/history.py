"""What happened, as JSON lines: every attempt, with its answer or none, and every fault."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

# PostgREST refuses with these before it asks the database anything: nothing was done.
_NOTHING_DONE = {"UPSTREAM_UNAVAILABLE", "PGRST000", "PGRST002", "PGRST003"}
# The statement failed for lack of a resource, and its transaction with it.
_ROLLED_BACK = ("53", "40", "55")


@dataclass
class Attempt:
    """One request and its outcome; times are of the machine's clock."""

    wish: int  # the same for every repetition of one request
    act: str
    who: str
    about: dict[str, Any]
    start: float
    end: float = 0.0  # of the answer, or of the waiting for it
    status: int | None = None  # None: there was no answer
    code: str | None = None
    answer: dict[str, Any] | None = None

    @property
    def outcome(self) -> str:
        """Return done, refused (then it did nothing) or unknown."""
        if self.status is None:
            return "unknown"
        if self.status < 400:
            return "done"
        code = self.code or ""
        if not code:  # PostgREST has none when it lost its connection to Postgres
            return "unknown"
        if self.status < 500 or code in _NOTHING_DONE or code[:2] in _ROLLED_BACK:
            return "refused"
        return "unknown"


@dataclass
class Trouble:
    """One fault: from when to when, and how long after its end all was well again."""

    fault: str
    start: float
    end: float = 0.0
    back: float | None = None  # seconds; None: not within the time that was waited

    def covers(self, moment: float) -> bool:
        """Whether a moment fell into it, or into the recovery after it."""
        return self.start <= moment <= self.end + (self.back or 0.0) + 1.0


@dataclass
class History:
    """Attempts and troubles, in the order in which they ended; a file keeps them as they come."""

    attempts: list[Attempt] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    file: IO[str] | None = None

    def add(self, event: Attempt | Trouble) -> None:
        """Keep one that has ended."""
        if isinstance(event, Attempt):
            self.attempts.append(event)
        else:
            self.troubles.append(event)
        if self.file is not None and not self.file.closed:
            self.file.write(json.dumps(asdict(event)) + "\n")
            self.file.flush()

    @classmethod
    def read(cls, file: Path) -> "History":
        """Read what a run has kept."""
        history = cls()
        for event in _lines(file):
            history.add(Trouble(**event) if "fault" in event else Attempt(**event))
        return history


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open() as lines:
        yield from map(json.loads, lines)
