"""The changes to SQL: rules over its text, with comments and descriptions left out."""

import re
from collections.abc import Callable, Iterator

from scripts.local import ROOT
from scripts.mutants.mutant import Mutant, named

# What is installed. The online install, the rollback and the local stack have tests of their own.
FOLDERS = ("functions", "triggers", "views", "policies", "migrations", ".")

Change = tuple[int, int, str]
Finder = Callable[[str, str], Iterator[Change]]  # of the text, and of the text without its literals


def _blank(match: re.Match[str]) -> str:
    """Replace by as many spaces, so that every place keeps its number."""
    return re.sub(r"[^\n]", " ", match[0])


def code_of(text: str) -> tuple[str, str]:
    """Return the text without comments, and that again without the insides of its literals."""
    literal = r"'(?:[^']|'')*'"
    plain = re.sub(rf"({literal})|--[^\n]*", lambda m: m[1] or _blank(m), text)
    plain = re.sub(rf"(?m)^\s*comment on (?:{literal}|[^;'])*;", _blank, plain)
    return plain, re.sub(literal, lambda m: "'" + _blank(m)[1:-1] + "'", plain)


def _closing(code: str, opening: int) -> int:
    """Return the place of the bracket that closes this one."""
    depth = 0
    for place in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if depth == 0:
            return place
    return len(code) - 1


def _replace(pattern: str, becomes: str, *, literals: bool = False) -> Finder:
    """Find a pattern; what it becomes may name its groups, \\1 for the first."""
    compiled = re.compile(pattern, re.M)

    def find(plain: str, code: str) -> Iterator[Change]:
        for match in compiled.finditer(plain if literals else code):
            groups = [plain[match.start(n) : match.end(n)] for n in range(compiled.groups + 1)]
            yield (
                match.start(),
                match.end(),
                re.sub(r"\\(\d)", lambda m, groups=groups: groups[int(m[1])], becomes),  # type: ignore[misc]
            )

    return find


def _conjuncts(_: str, code: str) -> Iterator[Change]:
    """Drop a condition that has a line of its own."""
    for match in re.finditer(r"^ +(?:and|or) [^\n]*\n", code, re.M):
        if match[0].count("(") == match[0].count(")"):
            yield match.start(), match.end(), ";\n" if match[0].rstrip().endswith(";") else ""


def _firsts(plain: str, code: str) -> Iterator[Change]:
    """Take the first of a coalesce as it is."""
    for match in re.finditer(r"\bcoalesce\(", code):
        depth, place, end = 0, match.end(), _closing(code, match.end() - 1)
        while place < end and (depth or code[place] != ","):
            depth += {"(": 1, ")": -1}.get(code[place], 0)
            place += 1
        yield match.start(), end + 1, f"({plain[match.end() : place].strip()})"


def _in_brackets(pattern: str, becomes: str) -> Finder:
    """Replace what a pattern opens with its last bracket, up to the one that closes it."""

    def find(_: str, code: str) -> Iterator[Change]:
        for match in re.finditer(pattern, code, re.M):
            yield (
                match.start(),
                _closing(code, match.end() - 1) + 1,
                re.sub(r"\\1", lambda _, m=match: m[1], becomes),  # type: ignore[misc]
            )

    return find


def _orders(_: str, code: str) -> Iterator[Change]:
    """Drop an order, to the end of its line or of the brackets that it stands in."""
    for match in re.finditer(r"\border by ", code):
        depth, place = 0, match.end()
        while depth or not re.match(r"[\n;)]| loop\b", code[place:]):
            depth += {"(": 1, ")": -1}.get(code[place], 0)
            place += 1
        yield match.start(), place, ""


def _numbers(_: str, code: str) -> Iterator[Change]:
    for match in re.finditer(r"(?<![\w.$:\[%-])\d+(?![\w.%])", code):
        yield match.start(), match.end(), str(int(match[0]) + 1)


def _durations(plain: str, _: str) -> Iterator[Change]:
    for match in re.finditer(r"'(\d+) (second|minute|hour|day)s?'", plain):
        yield match.start(), match.end(), f"'{int(match[1]) * 2 + 1} {match[2]}s'"


_DECIDING = r"^( *(?:where|and|or|if|elsif|when|on|using|select|not)\b[^\n;]*?)"
_WORD_LIST = r"\b(in \(|array\[)"

RULES: dict[str, Finder] = {
    # Locks
    "no-lock": _replace(
        r"\s*\bfor (?:no key )?(?:update|share)(?: of \w+)?(?: skip locked)?(?=[\s;)])", ""
    ),
    "wait": _replace(r" skip locked", ""),
    # Checks
    "no-perform": _replace(r"\bperform\b[^;]*;", "null;"),
    "no-raise": _replace(r"\braise (?:sqlstate|exception)[^;]*;", "null;"),
    "no-delete": _replace(r"^( +)delete from[^;]*;", r"\1null;"),
    "no-condition": _conjuncts,
    "no-check": _in_brackets(r"(\bconstraint \w+) check \(", r"\1 check (true)"),
    "no-exclusion": _replace(r",\s*constraint \w+ exclude [^\n]*", ""),
    "not-unique": _replace(r"\bcreate unique index", "create index"),
    "nullable": _replace(r"^(  \w+ [a-z ]+?) not null\b", r"\1"),
    "no-conflict": _replace(r"\s*\bon conflict[^;\n]*do nothing", ""),
    # Comparisons
    "or-equal": _replace(r" < ", " <= "),
    "not-equal": _replace(r" <= ", " < "),
    "or-equal-above": _replace(r" > ", " >= "),
    "not-equal-above": _replace(r" >= ", " > "),
    "same": _replace(r" <> ", " = "),
    "differs": _replace(_DECIDING + " = ", r"\1 <> "),
    "equals-null": _replace(r" is not distinct from ", " = "),
    "differs-null": _replace(r" is distinct from ", " <> "),
    "unknown": _replace(r" is not true\b", " is false"),
    "unsure": _replace(r" is true\b", ""),
    "null": _replace(r" is not null\b", " is null"),
    "not-null": _replace(r" is null\b", " is not null"),
    "no-not": _replace(
        r"(?<!if )\bnot (?=found\b|exists\b|v_|p_|session_approval|\(|terms|old|new|h\.)", ""
    ),
    "either": _replace(
        r"(?<!create)(?<!after insert)(?<!before insert)(?<!update)(?<!delete) or (?=\w)", " and "
    ),
    # Amounts and times
    "plus": _replace(r" - (?=\S)", " + "),
    "minus": _replace(r" \+ (?=\S)", " - "),
    "number": _numbers,
    "duration": _durations,
    "greatest": _replace(r"\bleast\(", "greatest("),
    "least": _replace(r"\bgreatest\(", "least("),
    "closed": _replace(r"\btstzrange\(([^()]*)\)", r"tstzrange(\1, '[]')"),
    "closed-open": _replace(r"'\(\)'", "'[]'", literals=True),
    # What is chosen, and in which order
    "no-order": _orders,
    "ascending": _replace(r" desc\b", ""),
    "nulls-first": _replace(r"\bnulls last\b", "nulls first"),
    "no-limit": _replace(r"\blimit \w+", ""),
    "repeated": _replace(r"(\(|\bselect )distinct (?!on\b)", r"\1"),
    "no-filter": _in_brackets(r"() filter \(", r"\1"),
    "first-of": _firsts,
    "inner": _replace(r"\bleft join\b", "join"),
    "left": _replace(r"\bfull join\b", "left join"),
    "without-last": _replace(
        _WORD_LIST + r"('\w+'(?:, '\w+')*), '\w+'(?=[)\]])", r"\1\2", literals=True
    ),
    "without-first": _replace(_WORD_LIST + r"'\w+', ", r"\1", literals=True),
    "true": _replace(r"((?::=|\bthen|\belse|\bdefault|,) )false\b", r"\1true"),
    "false": _replace(r"((?::=|\bthen|\belse|\bdefault|,) )true\b", r"\1false"),
    # Who may
    "invoker": _replace(r"^security definer", "security invoker"),
    "definer": _replace(r"^security invoker", "security definer"),
    "no-search-path": _replace(r"^set search_path = ''\n", "", literals=True),
    "no-time-zone": _replace(r"^set timezone = 'UTC'\n", "", literals=True),
    "stable": _replace(r"^volatile$", "stable"),
    "no-revoke": _replace(r"^revoke [^;]*;", ""),
    "no-grant": _replace(r"^grant [^;]*;", ""),
    "grant-anon": _replace(r"^(grant [^;]*\bto )(?!anon)([^;]*;)", r"\1anon, \2"),
    # Guards
    "no-trigger": _replace(
        r"(?:^ *when \([^;]*?\)\s*)?\bexecute function", "when (false) execute function"
    ),
    "always": _replace(r"^ *when \([^;]*?\)\s*execute function", "execute function"),
    "fewer-events": _replace(r"\b((?:after|before) )\w+ or ", r"\1"),
    "open-policy": _replace(r"\busing \([^;]*\);", "using (true);"),
    "policy-for-all": _replace(r"^( +)to authenticated$", r"\1to public"),
}  # fmt: skip


def mutants() -> Iterator[Mutant]:
    """Yield every change, always the same ones in the same order."""
    for folder in FOLDERS:
        for file in sorted((ROOT / "sql" / folder).glob("*.sql")):
            text = file.read_text()
            plain, code = code_of(text)
            yield from named(
                file.relative_to(ROOT).as_posix(),
                text,
                ((rule, *change) for rule, find in RULES.items() for change in find(plain, code)),
            )
