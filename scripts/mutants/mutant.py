"""One change to one file, under a name that stays."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A file as it is, and the place where it becomes another."""

    id: str  # file:rule:occurrence
    path: str  # from the root
    start: int
    end: int
    becomes: str
    line: str  # the line that the change begins in, as it is

    def apply(self, text: str) -> str:
        """Return the file's text with the change."""
        return text[: self.start] + self.becomes + text[self.end :]


def named(path: str, text: str, changes: Iterable[tuple[str, int, int, str]]) -> Iterator[Mutant]:
    """Number the changes (rule, start, end, new text) of a file, rule by rule."""
    met: Counter[str] = Counter()
    for rule, start, end, becomes in changes:
        if text[start:end] == becomes:
            continue
        met[rule] += 1
        first = start + len(text[start:end]) - len(text[start:end].lstrip())
        begin = text.rfind("\n", 0, first) + 1
        line = text[begin:].split("\n", 1)[0].strip()
        yield Mutant(f"{path}:{rule}:{met[rule]}", path, start, end, becomes, line)
